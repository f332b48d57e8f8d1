from openbigmodel.api.surfaces import SURFACES


def test_each_surface_is_told_apart_by_its_prefix() -> None:
    assert len({surface.prefix for surface in SURFACES}) == len(SURFACES)
    assert [surface.prefix for surface in SURFACES if surface.coding] == ["/api/coding/paas/v4"]
