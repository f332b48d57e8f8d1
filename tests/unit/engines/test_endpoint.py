from openbigmodel.engines.endpoint import Endpoint, EngineUnavailable


def test_url() -> None:
    assert Endpoint("127.0.0.1", 80).url == "http://127.0.0.1:80/v1"
    assert Endpoint("::1", 443, tls=True, path="").url == "https://[::1]:443"


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(Endpoint("a", 1, "secret"))
    assert "secret" not in f"{Endpoint('a', 1, 'secret')}"
    assert repr(Endpoint("a", 1)) == "Endpoint(http://a:1/v1, api_key=none)"


def test_a_new_worker_is_another_endpoint() -> None:
    assert Endpoint("127.0.0.1", 80, "a") == Endpoint("127.0.0.1", 80, "a")
    assert Endpoint("127.0.0.1", 80, "a") != Endpoint("127.0.0.1", 80, "b")


def test_unavailable_tells_reason_then_detail() -> None:
    assert str(EngineUnavailable("Gone.")) == "Gone."
    error = EngineUnavailable("Gone.", "line 1\nline 2")
    assert str(error) == "Gone.\nline 1\nline 2"
    assert (error.reason, error.detail) == ("Gone.", "line 1\nline 2")
