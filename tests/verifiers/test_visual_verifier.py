"""The visual verifier with a real Chromium in a real sandbox: every kind of check, both ways."""

from __future__ import annotations

import numpy as np
import pytest
from visual_support import HTML, outcomes, page, picture, site

from verifiers.pixels import decode, encode
from verifiers.selfcheck import check_verifier
from verifiers.visual import VisualVerifier

__all__ = ["site"]

GOOD = f"""{HTML}
<style>
  #box {{ width: 120px; height: 40px; background: rgb(255, 0, 0); }} .card {{ width: 90px; height: 20px; float: left; }}
</style>
<h1>Hello   there</h1><label>Name <input id=name></label><button data-kind=main>Save</button>
<div id=box></div><div class=card>a</div><div class=card>b</div>
"""
BAD = f"""{HTML}
<style>
  #box {{ width: 120px; height: 40px; background: rgb(254, 0, 0); position: absolute; left: 350px; top: 280px; }}
  .card {{ width: 90px; height: 20px; position: absolute; left: 5px; top: 200px }}
  #cover {{ position: absolute; inset: 0; }} #hidden {{ width: 900px; height: 1px }}
</style>
<h1 style="opacity: 0">Hello you</h1><span>Name</span><input id=name><div role=button data-kind=other>Send</div>
<div id=box></div><div class=card>a</div><div class=card>b</div><div id=cover></div><div id=hidden></div>
<script>console.error("broken"); nothing.there();</script><img src="missing.png" alt="">
"""
CHECKS = [
    {"kind": "selector", "selector": "h1", "text": "Hello there"},
    {"kind": "selector", "selector": "h1", "contains": "there"},
    {"kind": "selector", "selector": "label"},
    {"kind": "selector", "selector": "#hidden", "count": 0},
    {"kind": "selector", "selector": "[data-kind]", "count": 1, "attributes": {"data-kind": "main"}},
    {"kind": "selector", "selector": "#box", "style": {"background-color": "rgb(255, 0, 0)"}},
    {"kind": "role", "role": "textbox", "name": "Name"},
    {"kind": "role", "role": "button", "name": "Save", "count": 1},
    {"kind": "console"},
    {"kind": "console", "errors": False, "requests": False},
    {"kind": "console", "errors": False, "exceptions": False},
    {"kind": "visible", "selector": "h1"},
    {"kind": "in_viewport", "selector": "#box"},
    {"kind": "not_covered", "selector": "[data-kind]"},
    {"kind": "no_overlap", "selector": ".card"},
    {"kind": "no_horizontal_scroll"},
    {"kind": "pixels", "reference": "box.png", "clip": "#box"},
]


@pytest.mark.parametrize(("html", "expected"), [(GOOD, "pass"), (BAD, "fail")])
async def test_every_kind_of_check_holds_on_the_good_page_and_fails_on_the_bad_one(site, html, expected):
    site.reference("box.png", picture(120, 40, (255, 0, 0)))
    verdict = await site.look(
        {"index.html": html},
        page(*[dict(check, tolerance=0) if "clip" in check else check for check in CHECKS]),
    )
    assert set(outcomes(verdict).values()) == {expected}, verdict
    assert (verdict.outcome, verdict.score) == (expected, 1.0 if expected == "pass" else 0.0)
    assert verdict.verifier == "visual" and verdict.seconds > 0


async def test_actions_come_before_the_checks_and_one_that_cannot_be_done_fails(site):
    html = f"""{HTML}<input id=who><button onclick="setTimeout(() => {{ let p = document.createElement('p');
      p.id = 'out'; p.textContent = 'Hi ' + who.value; document.body.append(p); }}, 50)">Go</button>
      <input id=key onkeydown="this.dataset.last = event.key">"""
    actions = [
        {"fill": "#who", "text": "Ada"},
        {"click": "text=Go"},
        {"wait_for": "#out"},
        {"press": "Enter", "on": "#key"},
    ]
    checks = [
        {"kind": "selector", "selector": "#out", "text": "Hi Ada"},
        {"kind": "selector", "selector": "#key", "attributes": {"data-last": "Enter"}},
    ]
    assert (await site.look({"index.html": html}, page(*checks, actions=actions))).passed
    actions[1] = {"click": "#absent", "timeout_s": 0.2}
    verdict = await site.look({"index.html": html}, page(*checks, actions=actions))
    assert (verdict.outcome, verdict.cause) == ("fail", "action")
    assert "action 2" in verdict.checks[0].message


async def test_several_pages_have_their_own_viewports_and_folders_serve_their_index(site):
    table = {
        "pages": [
            {"id": "wide", "path": "sub/", "checks": [{"id": "a", "kind": "visible", "selector": "#wide"}]},
            {
                "id": "narrow",
                "path": "sub/index.html?x=1",
                "viewport": {"width": 300, "height": 300},
                "checks": [{"id": "a", "kind": "visible", "selector": "#wide"}],
            },
        ]
    }
    html = HTML + "<style>@media (max-width: 400px) { #wide { display: none } }</style><p id=wide>w</p>"
    verdict = await site.look({"sub/index.html": html}, table)
    assert {check.id: check.outcome for check in verdict.checks} == {"wide/a": "pass", "narrow/a": "fail"}
    assert verdict.score == 0.5


async def test_modules_styles_and_fetches_of_the_works_own_files_work(site):
    files = {
        "index.html": HTML
        + "<link rel=stylesheet href=/css/s.css><p id=p>old</p><script type=module src=m.js></script>",
        "css/s.css": "p { color: rgb(0, 128, 0); }",
        "m.js": "const d = await (await fetch('data.json')).json(); document.title = d.t; p.textContent = d.t;",
        "data.json": '{"t": "größer"}',
    }
    checks = [
        {"kind": "selector", "selector": "p", "text": "größer", "style": {"color": "rgb(0, 128, 0)"}},
        {"kind": "console"},
    ]
    verdict = await site.look(files, page(*checks))
    assert verdict.passed, verdict


async def test_a_page_far_from_its_reference_fails_with_a_picture_of_the_difference(site):
    reference = picture(400, 300)
    reference[:50, :60] = (0, 0, 255)
    site.reference("r.png", reference)
    table = page({"kind": "pixels", "reference": "r.png", "max_share": 0.01})
    blue = HTML + "<div style='width:60px;height:50px;background:#00f'></div>"
    verdict = await site.look({"index.html": blue}, table)
    assert verdict.passed and [e.name for e in verdict.evidence] == ["page.png"]
    verdict = await site.look({"index.html": blue.replace("60px", "160px")}, table)
    assert verdict.outcome == "fail" and "5000 pixels differ (4.17%" in verdict.reason
    names = {evidence.name: evidence for evidence in verdict.evidence}
    shown = decode(names["page-c0-difference.png"].data)
    assert tuple(shown[10, 100]) == (214, 40, 40) and tuple(shown[200, 200]) == (255, 255, 255)
    assert decode(names["page.png"].data).shape == (300, 400, 3)


async def test_masks_leave_out_what_changes_but_not_as_much_as_the_work_likes(site):
    site.reference("r.png", picture(400, 300))
    clock = HTML + "<div id=clock style='width:200px;height:60px;background:#123'></div>"
    masked = page({"kind": "pixels", "reference": "r.png", "masks": ["#clock"]})
    assert (await site.look({"index.html": clock}, masked)).passed
    boxed = page(
        {"kind": "pixels", "reference": "r.png", "masks": [{"x": 0, "y": 0, "width": 200, "height": 60}]}
    )
    assert (await site.look({"index.html": clock}, boxed)).passed
    verdict = await site.look(
        {"index.html": clock.replace("200px;height:60px", "400px;height:200px")}, masked
    )
    assert verdict.outcome == "fail" and "masked elements cover 66.7% of the picture" in verdict.reason


async def test_a_picture_of_another_size_fails_and_is_never_scaled_to_fit(site):
    site.reference("r.png", picture(200, 150))
    table = page({"kind": "pixels", "reference": "r.png", "max_share": 0.99})
    verdict = await site.look({"index.html": HTML}, table)
    assert (verdict.outcome, verdict.cause) == ("fail", "size")
    assert "400x300 pixels, the reference has 200x150" in verdict.reason


@pytest.mark.parametrize(
    "place", ["left:0;top:-20px", "left:-20px;top:0", "left:0;top:280px", "left:360px;top:0"]
)
async def test_an_element_that_is_cut_off_fails_even_if_the_rest_looks_like_its_reference(site, place):
    across = "left:0;" not in place
    site.reference("r.png", picture(40, 60) if across else picture(60, 20 if "280" in place else 40))
    html = f"{HTML}<div id=m style='position:fixed;width:60px;height:60px;{place}'></div>"
    verdict = await site.look(
        {"index.html": html}, page({"kind": "pixels", "reference": "r.png", "clip": "#m"})
    )
    assert (verdict.outcome, verdict.cause) == ("fail", "outside"), verdict
    assert "reaches outside of the viewport of 400x300 pixels" in verdict.reason


async def test_pictures_the_work_drew_are_compared_without_a_browser(site):
    plot = picture(64, 48)
    plot[10:20, 10:50] = (200, 30, 30)
    site.reference("plot.png", plot)
    table = {"images": [{"id": "plot", "path": "out/plot.png", "reference": "plot.png"}]}
    good = await site.look({"out/plot.png": encode(plot)}, table)
    assert good.passed and good.evidence[0].name == "plot.png"
    wrong = plot.copy()
    wrong[10:20, 10:30] = 0
    verdict = await site.look({"out/plot.png": encode(wrong)}, table)
    assert verdict.outcome == "fail" and "200 pixels differ" in verdict.reason
    assert [e.name for e in verdict.evidence] == ["plot.png", "plot-difference.png"]
    for data, words in ((b"GIF89a", "it is no PNG"), (encode(plot)[:-20], "cut off")):
        verdict = await site.look({"out/plot.png": data}, table)
        assert verdict.outcome == "fail" and words in verdict.reason and not verdict.evidence
    assert (await site.look({}, table)).outcome == "fail"
    assert (await site.look({"out/plot.png": encode(plot[:, :60])}, table)).cause == "size"


async def test_a_device_in_place_of_the_picture_is_not_read(site):
    site.reference("plot.png", picture(8, 8))
    table = {"images": [{"id": "plot", "path": "plot.png", "reference": "plot.png"}]}
    assert (await site.look({}, table, "ln -s /dev/zero plot.png")).outcome == "fail"


async def test_a_declared_build_runs_first_and_its_failure_is_the_works(site):
    table = {"build": "cp template.html index.html", **page({"kind": "selector", "selector": "h1"})}
    assert (await site.look({"template.html": HTML + "<h1>x</h1>"}, table)).passed
    verdict = await site.look({"other.html": HTML}, table)
    assert (verdict.outcome, verdict.cause, verdict.score) == ("fail", "build", 0.0)
    assert "template.html" in verdict.log


async def test_what_is_wrong_is_told_check_by_check(site):
    checks = [
        {"kind": "selector", "selector": "h1", "text": "Hello there"},
        {"kind": "selector", "selector": "p["},
        {"kind": "not_covered", "selector": "[data-kind]"},
        {"kind": "no_horizontal_scroll"},
        {"kind": "console"},
    ]
    verdict = await site.look({"index.html": BAD}, page(*checks))
    told = [check.message for check in verdict.checks]
    assert told[0] == "the text is 'Hello you'"
    assert "not a valid selector" in told[1]
    assert told[2] == "covered: div (div#cover)"
    assert told[3] == "900 px wide in a viewport of 400 px"
    assert "'broken'" in told[4] and "1 exceptions" in told[4] and "missing.png: status 404" in told[4]


async def test_large_screenshots_are_kept_smaller_and_said_to_be(site):
    noise = np.random.default_rng(1).integers(0, 256, (900, 1000, 3), dtype=np.uint8)
    table = page({"kind": "selector", "selector": "img"}, viewport={"width": 1000, "height": 900})
    verdict = await site.look(
        {"index.html": HTML + "<img src=n.png style='display:block'>", "n.png": encode(noise)}, table
    )
    assert verdict.passed
    assert verdict.evidence[0].size <= 2 * 1024 * 1024
    assert "page.png is kept at 1/2 of its size" in verdict.log


async def test_it_keeps_the_contract_of_every_verifier(site):
    table = page({"kind": "selector", "selector": "h1", "text": "Hello there"})
    good = await site.submission({"index.html": GOOD}, table)
    bad = await site.submission({"index.html": BAD}, table)
    assert await check_verifier(VisualVerifier(), site.pool, good=good, bad=bad) == []
