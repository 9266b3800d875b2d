"""Machines and their devices, each figure from a public page."""

from tfsci.plan.machines import Device, Link, Machine

# Latencies of a step of NCCL's ring, µs (github.com/NVIDIA/nccl, src/graph/tuning.cc, hwLat).
_NVLINK, _PCI, _NETWORK = 3.4, 5.7, 14.0

_V100 = Device(
    "V100 SXM2 16 GB", 125, 15.7, 16, 900, 300,
    efficiency=0.95,
    fitted="48 % of the peak for a 1.2 B GPT on one V100 (https://nv-adlr.github.io/MegatronLMV1)",
    source="https://images.nvidia.com/content/volta-architecture/pdf/volta-architecture-whitepaper.pdf",
)  # fmt: skip
_A100 = {
    "efficiency": 0.8,
    "fitted": "five rows of Table 1 of Narayanan 2021 (arXiv 2104.04473), of 1.7, 7.5, 39.1, 145.6 "
    "and 1008 B parameters",
    "source": "https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/"
    "nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf",
}
_A100_80 = Device("A100 SXM 80 GB", 312, 19.5, 80, 2039, 400, **_A100)
_A100_40 = Device("A100 SXM 40 GB", 312, 19.5, 40, 1555, 400, **_A100)
_GCD = Device(
    "MI250X GCD", 191.5, 47.9, 64, 1638, 280,
    efficiency=0.49,
    fitted="36.14 % of the peak for a 175 B GPT, tensor 4, pipeline 16, 1,280 samples on 128 dies "
    "(Dash 2023, arXiv 2312.12705)",
    source="https://www.amd.com/en/products/accelerators/instinct/mi200/mi250x.html "
    "(half of a card)",
)  # fmt: skip
_PVC = Device(
    "Max 1550 tile", 419, 26.0, 64, 1638, 300,
    efficiency=0.49,
    fitted="not fitted: no published training was at hand; MI250X's value",
    source="https://docs.alcf.anl.gov/aurora/hardware-overview/machine-overview/ (half of a card)",
)  # fmt: skip
_H100 = Device(
    "H100 SXM", 989, 67, 80, 3352, 700,
    efficiency=0.685,
    fitted="430 TFLOP/s of Llama 3 405B on 8,192 GPUs, tensor 8, pipeline 16 with a layer a chunk "
    "(arXiv 2407.21783, table 4)",
    source="https://resources.nvidia.com/en-us-tensor-core/nvidia-tensor-core-gpu-datasheet",
)  # fmt: skip
_P100 = Device(
    "P100 SXM2", 21.2, 10.6, 16, 732, 300,
    efficiency=0.5,
    fitted="not fitted: networks on it have measured rates (tfsci.plan.network)",
    source="https://images.nvidia.com/content/pdf/tesla/whitepaper/pascal-architecture-whitepaper.pdf",
)  # fmt: skip


def _summit(name: str, title: str, nodes: int) -> Machine:
    # Three GPUs of a socket, two NVLinks between each two; X bus, 64 GB/s, between the sockets;
    # two EDR ports, 12.5 GB/s each, for six GPUs.
    links = (Link(3, 50, _NVLINK), Link(6, 64 / 3, _PCI), Link(None, 25 / 6, _NETWORK))
    source = "https://docs.olcf.ornl.gov/systems/summit_user_guide.html"
    return Machine(name, title, _V100, links, nodes, source)


MACHINES = {
    machine.name: machine
    for machine in (
        _summit("ascent", "Ascent (Oak Ridge)", 18),
        _summit("summit", "Summit (Oak Ridge)", 4608),
        Machine(
            "selene", "Selene, DGX A100 (NVIDIA)", _A100_80,
            # NVSwitch; eight HDR ports, 25 GB/s each, for compute.
            (Link(8, 300, _NVLINK), Link(None, 25, _NETWORK)),
            560, "arXiv 2104.04473, section 5",
        ),
        Machine(
            "perlmutter", "Perlmutter (NERSC)", _A100_40,
            # Four NVLinks between each two of four GPUs; four Slingshot 11 ports.
            (Link(4, 300, _NVLINK), Link(None, 25, _NETWORK)),
            1536, "https://docs.nersc.gov/systems/perlmutter/architecture/",
        ),
        Machine(
            "polaris", "Polaris (Argonne)", _A100_40,
            # As Perlmutter's, with two Slingshot 11 ports for four GPUs.
            (Link(4, 300, _NVLINK), Link(None, 12.5, _NETWORK)),
            560, "https://docs.alcf.anl.gov/polaris/hardware-overview/machine-overview/",
        ),
        Machine(
            "frontier", "Frontier (Oak Ridge)", _GCD,
            # Four Infinity Fabric links within a card, one or two of 50 GB/s between cards; four
            # Slingshot 11 ports for eight dies.
            (Link(2, 200, _NVLINK), Link(8, 50, _PCI), Link(None, 12.5, _NETWORK)),
            9408, "https://docs.olcf.ornl.gov/systems/frontier_user_guide.html",
        ),
        Machine(
            "aurora", "Aurora (Argonne)", _PVC,
            # Two tiles of a card; Xe links between each two of six cards; eight Slingshot 11 ports
            # for twelve tiles.
            (Link(2, 115, _NVLINK), Link(12, 28, _PCI), Link(None, 200 / 12, _NETWORK)),
            10624, "https://docs.alcf.anl.gov/aurora/hardware-overview/machine-overview/",
        ),
        Machine(
            "dgx-h100", "DGX H100 (NVIDIA)", _H100,
            # NVSwitch; eight NDR ports, 50 GB/s each.
            (Link(8, 450, _NVLINK), Link(None, 50, _NETWORK)),
            None, "https://docs.nvidia.com/dgx/dgxh100-user-guide/introduction-to-dgxh100.html",
        ),
        Machine(
            "p100-roce", "Four P100 a server, 25 Gbit/s RoCE (Horovod's paper)", _P100,
            (Link(4, 13, _PCI), Link(None, 3.125 / 4, _NETWORK)),
            128, "arXiv 1802.05799, section 5",
        ),
        Machine(
            "p100-ethernet", "Eight P100 a server, 50 Gbit/s Ethernet (Goyal 2017)", _P100,
            (Link(8, 40, _NVLINK), Link(None, 6.25 / 8, _NETWORK)),
            32, "arXiv 1706.02677, section 4",
        ),
    )
}  # fmt: skip
