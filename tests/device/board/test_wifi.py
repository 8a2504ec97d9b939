from writ.board.wifi import Wifi

FIELD = {"ssid": "field", "password": "correct horse"}
BARN = {"ssid": "barn", "password": "correct horse"}
CELLAR = {"ssid": "cellar", "hidden": True}


def even(count):
    """No chance: the pause is a half and a quarter."""
    return bytes([128]) * count


def walk(wifi, statuses, start_ms=0, step_ms=500):
    """The actions with their times, as status follows status each `step_ms`."""
    found = []
    now_ms = start_ms
    for status in statuses:
        action = wifi.tick(now_ms, status)
        if action:
            found.append((now_ms, action[0]) + tuple([one["ssid"] for one in action[1:]]))
        now_ms += step_ms
    return found


def test_one_network_is_joined_without_a_scan():
    wifi = Wifi([FIELD], None, even)
    statuses = ["idle", "connecting", "connecting", "connected"]
    assert walk(wifi, statuses) == [(0, "connect", "field")]
    assert wifi.is_up and wifi.last == "field" and wifi.news == ["Wi-Fi field: connected"]
    assert walk(wifi, ["connected"] * 100, 2000) == []


def test_the_network_that_has_worked_last_comes_first():
    wifi = Wifi([FIELD, BARN], "barn", even)
    assert walk(wifi, ["idle"]) == [(0, "connect", "barn")]
    # a name that is no longer in the file
    wifi = Wifi([FIELD, BARN], "old", even)
    assert walk(wifi, ["idle"]) == [(0, "scan")]


def test_then_the_strongest_then_hidden_ones():
    wifi = Wifi([CELLAR, FIELD, BARN], None, even)
    assert wifi.tick(0, "idle") == ("scan",)
    assert wifi.scanned({"field": -80, "barn": -50, "strange": -20}, 0) == ("connect", BARN)
    assert wifi.tick(500, "connecting") is None
    assert wifi.tick(1500, "wrong password") == ("connect", FIELD)
    assert wifi.tick(3000, "not found") == ("connect", CELLAR)
    assert wifi.tick(4500, "failed") == ("disconnect",)
    assert wifi.news == [
        "Wi-Fi barn: wrong password",
        "Wi-Fi field: not found",
        "Wi-Fi cellar: failed",
    ]


def test_what_is_neither_seen_nor_hidden_is_not_tried():
    wifi = Wifi([FIELD, BARN], "barn", even)
    assert wifi.tick(0, "idle") == ("connect", BARN)
    assert wifi.tick(2000, "not found") == ("scan",)
    # the one that has just failed is not tried again in this round
    assert wifi.scanned({"barn": -40}, 2000) == ("disconnect",)
    assert wifi.news == ["Wi-Fi barn: not found", "Wi-Fi field: not found"]


def test_the_status_of_the_last_attempt_ends_no_new_one():
    wifi = Wifi([FIELD], None, even)
    wifi.tick(0, "wrong password")
    assert wifi.tick(500, "wrong password") is None
    assert wifi.tick(1000, "wrong password") == ("disconnect",)


def test_an_access_point_that_does_not_answer_is_left_after_20_s():
    wifi = Wifi([FIELD], None, even)
    actions = walk(wifi, ["connecting"] * 41)
    assert actions == [(0, "connect", "field"), (20000, "disconnect")]
    assert wifi.news == ["Wi-Fi field: no answer"]


def rounds(random, count):
    """The pauses between rounds that fail."""
    wifi = Wifi([FIELD], None, random)
    pauses, now_ms, ended_ms = [], 0, None
    while len(pauses) < count:
        action = wifi.tick(now_ms, "not found")
        if action == ("disconnect",):
            ended_ms = now_ms
        elif action and ended_ms is not None:
            pauses.append(now_ms - ended_ms)
        now_ms += 100
    return pauses, wifi


def test_pauses_double_to_five_minutes_and_errors_are_said_once():
    pauses, wifi = rounds(lambda count: b"\xff" * count, 9)
    longest = [5000, 10000, 20000, 40000, 80000, 160000, 300000, 300000, 300000]
    for pause_ms, most_ms in zip(pauses, longest):
        assert most_ms * 0.99 <= pause_ms <= most_ms + 100
    assert wifi.news == ["Wi-Fi field: not found"]


def test_devices_that_lose_power_together_return_at_different_times():
    shortest = rounds(lambda count: b"\0" * count, 7)[0]
    assert shortest[0] == 2500 and shortest[6] == 150000
    # success begins anew
    wifi = rounds(even, 5)[1]
    now_ms = 10000000
    while not wifi.is_up:
        wifi.tick(now_ms, "connected")
        now_ms += 500
    walk(wifi, ["idle"] * 11, now_ms)
    assert wifi._rounds == 0


def test_a_short_loss_is_no_loss_and_a_long_one_begins_a_round():
    wifi = Wifi([FIELD, BARN], "field", even)
    walk(wifi, ["idle", "connected"])
    assert walk(wifi, ["connecting"] * 9 + ["connected"], 1000) == []
    assert wifi.is_up
    assert walk(wifi, ["idle"] * 11, 10000) == [(15000, "connect", "field")]
    assert not wifi.is_up
    assert wifi.news == ["Wi-Fi field: connected", "Wi-Fi field: lost"]
