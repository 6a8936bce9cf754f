"""A server over a store: its champions, under the store's names, through promotions and rollbacks."""

import pytest

from tests.serving.running import save_ridge
from tidewright.errors import BundleError
from tidewright.registry.numbered import CURRENT
from tidewright.registry.store import open_store
from tidewright.serving.desk import Desk
from tidewright.serving.options import ServeOptions
from tidewright.serving.roster import check_places, find_places
from tidewright.serving.stock import Stock


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "store")
    bundle = save_ridge(tmp_path / "ridge")
    for _ in range(2):
        store.register("demand", bundle)
    return store


def served(desk):
    return {(one.name, one.version): one.bundle.digest for one in desk.roster.all}


def test_the_champion_is_served_under_the_store_s_name_and_a_promotion_takes_its_place(store):
    desk = Desk(ServeOptions(port=0))
    stock = Stock([store.folder], desk)
    stock.load()
    assert served(desk) == {("demand", "1"): store.get("demand").digest}
    assert desk.roster.find("demand").describe(["1"])["name"] == "demand"
    store.promote("demand", force="a trial")
    stock.look()
    assert desk.roster.find("demand").version == "2"
    stock.look()  # what is gone at two looks is dropped
    assert set(served(desk)) == {("demand", "2")}
    store.rollback("demand")
    stock.look()
    stock.look()
    assert set(served(desk)) == {("demand", "1")}
    desk.close()


def test_a_store_s_file_that_was_changed_by_hand_takes_nothing_away(store):
    desk = Desk(ServeOptions(port=0))
    stock = Stock([store.folder / "demand"], desk)
    stock.load()
    (store.folder / "demand" / CURRENT).write_text("{")
    for _ in range(3):
        stock.look()
    assert set(served(desk)) == {("demand", "1")}
    with pytest.raises(BundleError, match="changed by hand"):
        find_places([store.folder])
    desk.close()


def test_a_store_without_a_model_is_no_place(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match="there is no bundle in"):
        check_places([open_store(tmp_path / "empty").folder])
