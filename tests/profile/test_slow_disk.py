"""A disk that is slow: reads of a real file that are held back on their way to the kernel."""

import json
import os
import subprocess
import sys

import pytest
import shims

# Every read of a TFRecord file takes as long as SLOW_READ says, in microseconds.
SHIM = r"""
static void hold(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return;
    path[length] = 0;
    if (strstr(path, ".tfrecord")) usleep(atoi(getenv("SLOW_READ")));
}

ssize_t pread(int file, void *to, size_t size, off_t at) {
    static ssize_t (*next)(int, void *, size_t, off_t);
    if (!next) next = dlsym(RTLD_NEXT, "pread");
    hold(file);
    return next(file, to, size, at);
}

ssize_t pread64(int file, void *to, size_t size, off_t at) { return pread(file, to, size, at); }
"""

SCRIPT = """
import sys, time
import tensorflow as tf

def parse(record):
    return tf.strings.length(record)

dataset = tf.data.TFRecordDataset(sys.argv[1]).repeat().map(parse).batch(4).prefetch(2)

@tf.function
def train_step(x):
    return tf.reduce_sum(x)

for batch in dataset.take(150):
    train_step(batch)
    time.sleep(0.005)
"""


@pytest.mark.slow
def test_reading_from_it_is_named_and_told_from_computing(tmp_path):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for _ in range(60):
            writer.write(bytes(300_000))  # more than TensorFlow reads ahead
    (tmp_path / "train.py").write_text(SCRIPT)
    environ = {**os.environ, "LD_PRELOAD": shims.build(tmp_path, SHIM), "SLOW_READ": "8000"}
    command = [sys.executable, "-m", "tfsci.profile", "--json", "found.json"]
    result = subprocess.run(
        [*command, "train.py", "a.tfrecord"], env=environ, cwd=tmp_path, capture_output=True,
        text=True, timeout=200,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["verdict"], found["stage"]["kind"]) == ("input-bound", "TFRecord")
    assert found["cause"] == "waits"
    assert "num_parallel_reads" in found["changes"][0]["where"]
