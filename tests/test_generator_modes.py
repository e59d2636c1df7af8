"""Grad modes around generator functions: exceptions thrown into them and their end reach the function, in its mode."""

import contextlib

import pytest

import rustorch as rt

MODES = [rt.no_grad, lambda: rt.set_grad_enabled(False), rt.inference_mode]


@pytest.mark.parametrize("mode", MODES)
def test_what_is_thrown_into_a_generator_reaches_it(mode):
    seen = []

    @mode()
    def numbers():
        try:
            try:
                yield 1
            except KeyError as e:
                seen.append((e.args, rt.is_grad_enabled()))
                sent = yield 2
                seen.append((sent, rt.is_grad_enabled()))
            yield 3
        finally:
            seen.append(("end", rt.is_grad_enabled()))

    g = numbers()
    assert next(g) == 1 and rt.is_grad_enabled()
    assert g.throw(KeyError("k")) == 2 and rt.is_grad_enabled()
    assert g.send("s") == 3 and rt.is_grad_enabled()
    g.close()
    assert seen == [(("k",), False), ("s", False), ("end", False)] and rt.is_grad_enabled()
    g = numbers()
    next(g)
    with pytest.raises(ZeroDivisionError):
        g.throw(ZeroDivisionError())
    assert seen[3:] == [("end", False)] and rt.is_grad_enabled()


@pytest.mark.parametrize("mode", MODES)
def test_a_context_manager_may_run_in_a_mode(mode):
    seen = []

    @contextlib.contextmanager
    @mode()
    def quiet():
        try:
            yield 5
        except ValueError:
            seen.append(rt.is_grad_enabled())

    with quiet() as five:
        assert five == 5 and rt.is_grad_enabled()
        raise ValueError
    assert seen == [False] and rt.is_grad_enabled()


def test_a_generator_gives_its_result():
    @rt.no_grad()
    def counted():
        yield 1
        return 7

    def outer():
        return (yield from counted())

    g = outer()
    assert next(g) == 1
    with pytest.raises(StopIteration) as end:
        next(g)
    assert end.value.value == 7
