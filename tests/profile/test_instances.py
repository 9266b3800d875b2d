import threading

from tfsci.profile.instances import instances


class Base:
    pass


class Derived(Base):
    pass


class Pretender:
    """Says that it is what it is not, as lazy proxies do."""

    __class__ = Base


def test_all_of_a_class_and_of_those_derived_from_it():
    made = [Base(), Derived(), Derived()]
    assert Pretender() is not None
    assert {id(each) for each in instances(Base)} == {id(each) for each in made}
    assert len(instances(Derived)) == 2
    assert instances(None) == []


def test_tuples_that_other_threads_build_are_left_alone():
    """With `gc.get_objects` a few of a hundred scans break one."""
    kept, stop, errors = Derived(), threading.Event(), []

    def build():
        while not stop.is_set():
            try:
                tuple(i for i in range(25))
            except SystemError as error:
                errors.append(error)

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    found = [len(instances(Base)) for _ in range(30)]
    stop.set()
    for thread in threads:
        thread.join()
    assert (errors, set(found)) == ([], {1})
    assert kept is not None
