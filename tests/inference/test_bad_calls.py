"""What nobody meant is refused in words that say what is wrong, what was got and what to do; never by Python's own."""

import gc
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import tidewright as tw
from tests.serving.running import save_ridge
from tests.worlds import small_panel
from tidewright.cli.main import app
from tidewright.errors import TidewrightError

URL = "http://127.0.0.1:1"  # where nobody listens
RAGGED = [[1.0, 2.0], [3.0]]


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    """A bundle, a session, a store of two versions, an engine, and a file that is no graph."""
    folder = tmp_path_factory.mktemp("calls")
    bundle = save_ridge(folder / "ridge")
    (folder / "bad.onnx").write_bytes(b"no graph")
    (folder / "cert.pem").write_bytes(b"no certificate")
    store, layer, engine = tw.open_store(folder / "store"), tw.CompiledInferenceLayer(), tw.InferenceEngine()
    for _ in range(2):
        store.register("m", bundle)
    layer.load_model(bundle.folder)
    engine.load_model(bundle.folder)
    session = tw.open(bundle)
    shared = tw.batching(session)
    yield SimpleNamespace(
        folder=folder, bundle=bundle, session=session, store=store, layer=layer, engine=engine, panel=small_panel(),
        rows=bundle.example()[0].target, shared=shared, client=tw.Client(URL), tracker=tw.HotPathTracker(),
    )  # fmt: skip
    shared.close()


def fine(x):
    return x


CASES = {
    "open a number": (lambda at: tw.open(5), "bundle is the path of a bundle's folder; got 5"),
    "open nothing": (lambda at: tw.open(""), "bundle is the path of a bundle's folder; got ''"),
    "open a graph": (lambda at: tw.open(at.folder / "bad.onnx"), "a graph alone, which CompiledInferenceLayer"),
    "measure": (lambda at: tw.open(at.bundle, measure=5), "measure is quick, all, or a list of backends' names; got 5"),
    "a name": (lambda at: tw.open(at.bundle, measure=[[1]]), r"a name in measure is text; got \[1\]"),
    "strict": (lambda at: tw.open(at.bundle, strict="yes"), "strict is True or False; got 'yes'"),
    "remember": (lambda at: tw.open(at.bundle, remember="no"), "remember is True or False; got 'no'"),
    "predict an empty list": (lambda at: at.session.predict([]), "'target': an empty list holds no window"),
    "predict ragged rows": (lambda at: at.session.predict(RAGGED), "'target': rows of unlike lengths are no array"),
    "a stream of a number": (lambda at: at.session.predict_stream(5), "items are a list or a stream of windows; got 5"),
    "cutoffs": (lambda at: at.session.forecast(at.panel, cutoffs=5), "cutoffs is a Cutoffs; got 5. Take a part"),
    "bytes without a folder": (lambda at: tw.cached(at.session, disk_bytes=5), "disk_bytes bounds .* none is given"),
    "cache in a number": (lambda at: tw.cached(at.session, folder=5), "folder is the path of a folder for answers"),
    "cache in nothing": (lambda at: tw.cached(at.session, folder=""), "folder is the path of .*; got ''"),
    "time to live": (lambda at: tw.cached(at.session, ttl_s="5"), "ttl_s is a number of seconds above 0, or None"),
    "a cache's clock": (lambda at: tw.cached(at.session, clock=5), "clock is a function, such as time.monotonic"),
    "a queue's clock": (lambda at: tw.batching(at.session, clock=None), "clock is a function"),
    "a truth for seconds": (lambda at: tw.batching(at.session, timeout_s=True), "timeout_s is a number .*; got True"),
    "endless seconds": (lambda at: at.shared.predict(at.rows, timeout_s=1e300), "timeout_s is a number of seconds"),
    "priority": (lambda at: at.shared.predict(at.rows, priority=True), "priority is a whole number"),
    "quantise no panel": (lambda at: tw.quantise(at.bundle, panel="t.csv", folder="q"), "made from a Panel; got str"),
    "quantise into 5": (lambda at: tw.quantise(at.bundle, panel=at.panel, folder=5), "folder is the path of a new"),
    "quantise by 5": (
        lambda at: tw.quantise(at.bundle, panel=at.panel, folder="q", split=5), "split is a Split; got 5",
    ),
    "a callback": (lambda at: tw.monitor(at.bundle, at.panel, callbacks=print), "callbacks is a list of functions"),
    "a seed": (lambda at: tw.monitor(at.bundle, at.panel, seed=None), "seed is a whole number, 0 or more; got None"),
    "monitor 5": (lambda at: tw.monitor(5, at.panel), "bundle is the path of a bundle's folder; got 5"),
    "a store of 5": (lambda at: tw.open_store(5), "folder is the path of a folder for the store; got 5"),
    "a store of nothing": (lambda at: tw.open_store(""), "folder is the path of .*; got ''"),
    "register 5": (lambda at: at.store.register("m", 5), "bundle is the path of a bundle's folder; got 5"),
    "a reason": (lambda at: at.store.register("m", at.bundle, reason=5), "reason is text; got 5"),
    "a way back": (lambda at: at.store.rollback("m", reason=5), "reason is text; got 5"),
    "no reason": (lambda at: at.store.promote("m", force=" "), "force is the reason to promote .*; got ' '"),
    "force by a truth": (lambda at: at.store.promote("m", force=True), "force is the reason to promote .*; got True"),
    "a version's text": (lambda at: at.store.get("m", "1"), "a version is a whole number, 1 or more; got '1'"),
    "a version's truth": (lambda at: at.store.get("m", True), "a version is a whole number, 1 or more; got True"),
    "a version's fraction": (lambda at: at.store.promote("m", 2.0, force="x"), "a version is a whole number"),
    "a share": (lambda at: at.store.split("m", "key", share="x"), "share is the part of all keys .*; got 'x'"),
    "no URL": (lambda at: tw.Client(None), "url is text; got None"),
    "a certificate without TLS": (lambda at: tw.Client(URL, ca_file="x.pem"), "ca_file belongs to https://"),
    "no certificate": (lambda at: tw.Client("https://h", ca_file=at.folder / "cert.pem"), "ca_file '.*' can't be read"),
    "no file": (lambda at: tw.Client("https://h", ca_file="x.pem"), "'x.pem' can't be read: No such file"),
    "a key in bytes": (lambda at: tw.Client(URL, key=b"key"), "a key is printable ASCII text"),
    "a client's time": (lambda at: tw.Client(URL, timeout_s=-1), "timeout_s is a number of seconds above 0; got -1"),
    "ask 5": (lambda at: at.client.infer(at.rows, model=5), "model is text; got 5"),
    "a version 0": (lambda at: at.client.forecast(at.panel, version=0), "version is a whole number, 1 or more; got 0"),
    "describe a list": (lambda at: at.client.describe(["m"]), r"model is text; got \['m'\]"),
    "send nothing": (lambda at: at.client.infer({}, model="m"), "no input is given"),
    "send ragged rows": (lambda at: at.client.infer(RAGGED, model="m"), "'target': rows of unlike lengths"),
    "a compiler": (lambda at: tw.jit_if_hot(compiler=5), "compiler is a JITCompiler; got 5"),
    "a payback": (lambda at: tw.JITCompiler(payback="x"), "payback is the share .*; got 'x'"),
    "a share of time": (lambda at: tw.JITCompiler(share=None), "share is the share of time .*; got None"),
    "a wait": (lambda at: tw.JITCompiler().wait("x"), "timeout_s is a number of seconds"),
    "a path": (lambda at: at.tracker.note([], seconds=1.0), r"a path is what can be a key, such as text; got \[\]"),
    "less than no time": (lambda at: at.tracker.note("a", seconds=-1.0), "seconds is a number of seconds, 0 or more"),
    "no calls": (lambda at: at.tracker.note("a", seconds=1.0, calls=0), "calls is a whole number, 1 or more; got 0"),
    "a backend": (lambda at: tw.CompiledInferenceLayer(backend=[]), r"backend is text; got \[\]"),
    "load 5": (lambda at: at.layer.load_model(5), "path is the path of a bundle's folder or an .onnx file; got 5"),
    "load no graph": (lambda at: at.layer.load_model(at.folder / "bad.onnx"), r"'.*bad\.onnx' is no ONNX graph"),
    "a dictionary": (lambda at: tw.InferenceEngine({"strict": True}), "config is an InferenceEngineConfig; got {"),
    "a level": (lambda at: tw.InferenceEngineConfig(log_level=[]), r"log_level is text; got \[\]"),
    "a session's name": (lambda at: tw.write_metrics({5: at.session}), "a session's name is text; got 5"),
    "a bundle for Triton": (lambda at: tw.write_triton(at.bundle, at.folder, name="ridge"), "is a bundle, and nothing"),
    "Triton's name": (lambda at: tw.write_triton(at.bundle, at.folder, name=5), "a model's name is 1 to 64 letters"),
    "save 5": (lambda at: tw.save_bundle(5, panel=at.panel, folder="b"), "a fitted model is needed; got 5"),
    "save scores": (
        lambda at: tw.save_bundle(at.session.fitted, panel=at.panel, folder="b", metrics={"a": []}),
        r"metrics are numbers and remarks by name; got \[\]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", CASES)
def test_what_nobody_meant_is_refused_in_words(at, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, message = CASES[call]
    with pytest.raises(TidewrightError, match=message):
        run(at)
    assert not list(tmp_path.iterdir())


def test_a_refused_reason_leaves_the_store_as_it_was(at):
    with pytest.raises(TidewrightError):
        at.store.register("m", at.bundle, reason=5)
    assert len(at.store.versions("m")) == 2


def test_a_client_that_is_let_go_leaves_no_connection_open(at):
    from tests.serving.running import running

    with running([at.bundle.folder]) as server, warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        client = tw.Client(server.url)
        assert client.infer(list(at.rows), version=1).quantiles.shape[0] == len(at.rows)
        del client
        gc.collect()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["store", "promote", "m", "--force", ""], "force is the reason to promote"),
        (["store", "mirror", "no-such-runs"], "there is no folder 'no-such-runs'"),
        (["store", "mirror", ".", "--store", "nowhere"], "the store 'nowhere' has no models"),
        (
            ["store", "show", "m", "--store", "nowhere"],
            "no model of the store 'nowhere' is called 'm': there is none yet",
        ),
        (["store", "register", "m", "{ridge}", "--store", "{ridge}/card.md/x"], "can't be made: Not a directory"),
        (["monitor", "{ridge}", "t.csv", "--report", "x.txt"], "a report is a file that ends in .html; got 'x.txt'"),
        (["serve", "{ridge}", "--allow-host", ""], "hosts are names, or * for any; got ('',)"),
        (["serve", "{ridge}", "--tls-cert", "c.pem", "--tls-key", "k.pem"], "'c.pem' and 'k.pem' are no certificate"),
    ],
)
def test_words_of_a_command_are_refused_too(at, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [word.replace("{ridge}", str(at.bundle.folder)) for word in words]
    mine = words[0] == "store" and "--store" not in words
    done = CliRunner().invoke(app, [*given, *(["--store", str(at.folder / "store")] if mine else [])])
    assert isinstance(done.exception, TidewrightError)
    assert message in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_the_checks_take_what_is_right():
    from tidewright import checks

    checks.check_whole("n", 3, least=3, most=3)
    checks.check_seconds("s", None)
    checks.check_real("x", np.pi, words="a number", low=0.0)
    assert checks.to_path("p", "a", of="a file").name == "a"
    assert tw.jit_if_hot(fine)(2) == 2
