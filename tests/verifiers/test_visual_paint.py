"""What is seen is told by pictures: elements hidden by tricks of style, and things that lie over them."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image
from visual_support import HTML, Site, page, site

__all__ = ["site"]

AT = "position:absolute;left:50px;top:50px;width:100px;height:40px;"
OVER = "position:fixed;inset:0;background:red;pointer-events:none;"
SEEN = {"kind": "visible", "selector": "#b"}
FREE = {"kind": "not_covered", "selector": "#b"}


def button(style: str = "", more: str = "") -> dict[str, str]:
    """A site whose page has the button `#b` of that style, and more after it."""
    return {"index.html": f'{HTML}<button id=b style="{AT}{style}">Save</button>{more}'}


def flicker(colors: str, size: int = 8) -> bytes:
    """A GIF of noise in two colours, without end."""
    rng = np.random.default_rng(2)
    frames = [
        Image.fromarray(np.where(rng.random((size, size)) < 0.5, 0, 255).astype(np.uint8)) for _ in range(9)
    ]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=30, loop=0)
    return out.getvalue()


async def look_at(
    site: Site, pages: Mapping[str, Mapping[str, str | bytes]], check: dict[str, str]
) -> dict[str, str]:
    """What one check says of each of many pages, by their names; "" where it holds."""
    files = {f"{i}/{name}": data for i, one in enumerate(pages.values()) for name, data in one.items()}
    own = {"viewport": {"width": 400, "height": 300}, "checks": [{"id": "c", **check}]}
    verdict = await site.look(
        files, {"pages": [{"id": f"p{i}", "path": f"{i}/", **own} for i in range(len(pages))]}
    )
    said = {check.id: check.message for check in verdict.checks}
    return {name: said.pop(f"p{i}/c") for i, name in enumerate(pages)} | said


UNSEEN = {
    "a filter": button("filter:opacity(0)"),
    "hardly any opacity": button("opacity:0.001"),
    "a little opacity of each ancestor": {
        "index.html": f"{HTML}<div style='opacity:.1'><div style='opacity:.1'><button id=b>Save</button></div></div>"
    },
    "a transparent mask": button("mask-image:linear-gradient(transparent,transparent)"),
    "transparent colours": button("color:transparent;background:transparent;border:0"),
    "the background's colour": button("color:#fff;background:#fff;border:0"),
    "an empty clip": button("clip-path:inset(100%)"),
    "no room in an ancestor": {
        "index.html": f"{HTML}<div style='overflow:hidden;height:0'><button id=b>Save</button></div>"
    },
    "scrolled away where nobody can scroll": {
        "index.html": f"{HTML}<div style='overflow:hidden;height:50px'><p style='height:500px'></p><button id=b>S</button></div>"
    },
    "letters of no size": button("font-size:0;background:none;border:0"),
    "a single pixel": button("clip-path:inset(20px 50px 19px 49px);background:#000"),
    "something above": button("", f"<div style='{OVER}'></div>"),
    "something above that moves": {
        **button("", f"<div style='{OVER}background-image:url(n.gif)'></div>"),
        "n.gif": flicker("bw"),
    },
}


async def test_what_paints_nothing_is_not_visible(site):
    said = await look_at(site, UNSEEN, SEEN)
    assert said == dict.fromkeys(UNSEEN, "not visible: button#b (nothing of it is seen)")


WATCH = f"""<div id=o style="{OVER}"></div><script>
  const answer = () => {{ o.style.background = 'blue'; }};
  new MutationObserver(all => all.some(one => one.target === b) && answer()).observe(document, {{subtree: true, attributes: true}});
  (function look() {{ requestAnimationFrame(look); if (getComputedStyle(b).opacity < 1) answer(); }})()</script>"""
ANSWERS = {
    "by script": WATCH,
    "by attributes": f"<div id=o style='{OVER}'></div><style>#b[style*=opacity] ~ #o, #b[class] ~ #o {{ background: blue }}</style>",
    "by what style can tell of scripts": f"<div id=o style='{OVER}'></div><style>@media (scripting: none) {{ #o {{ display: none }} }}"
    "#o { opacity: if(media(scripting: none): 0; else: 1) }</style>",
    "by an anchor that is hidden": f"<style>#b {{ anchor-name: --b }}</style><div style='{OVER}inset:auto;left:40px;top:40px;"
    "width:200px;height:100px;position-anchor:--b;position-visibility:anchors-visible'></div>",
    "by a rule of its own": f"<style>#b {{ opacity: 1 !important; transition: opacity 9s }}</style><div style='{OVER}'></div>",
}


async def test_a_page_cannot_answer_an_element_that_is_faded_by_painting_something_else(site):
    pages = {name: button("", answer) for name, answer in ANSWERS.items()}
    for check in (SEEN, FREE):
        said = await look_at(site, pages, check)
        assert [name for name in ANSWERS if not said[name]] == [], said


FINE = {
    "plain": button(),
    "far below": button("top:4000px"),
    "in something that scrolls": {
        "index.html": f"{HTML}<div style='overflow:auto;height:90px'><p style='height:900px'></p><button id=b>Save</button></div>"
    },
    "larger than the viewport, with little in it": {
        "index.html": f"{HTML}<main id=b style='display:block;height:3000px'><h1>Hello</h1></main>"
    },
    "fading in": button(
        "animation:in .4s 5s both", "<style>@keyframes in { from { opacity: 0 } to { opacity: 1 } }</style>"
    ),
    "moving": button("animation:in 1s infinite", "<style>@keyframes in { to { left: 90px } }</style>"),
    "with a rule against fading": button("", "<style>#b { opacity: .9 !important }</style>"),
    "a picture that moves": {
        "index.html": f"{HTML}<img id=b src=n.gif style='{AT}'>",
        "n.gif": flicker("bw"),
    },
    "drawn by a script": {
        "index.html": f"{HTML}<canvas id=b width=90 height=40></canvas><script>let n = 0; (function f() {{ requestAnimationFrame(f);"
        "const c = b.getContext('2d'); c.fillRect(0, 0, 40, 40); c.clearRect(n++ % 30, 0, 4, 4); })()</script>"
    },
    "below things that are see-through": button(
        "",
        f"<div style='{OVER}background:none'></div><div style='{OVER}background:#00000020'></div><iframe style='{OVER};background:none;border:0'></iframe>",
    ),
    "with a decoration of its own": button(
        "", "<style>#b::after{content:'';position:absolute;inset:0;pointer-events:none}</style>"
    ),
}


async def test_what_a_user_sees_is_visible(site):
    assert await look_at(site, FINE, SEEN) == dict.fromkeys(FINE, "")


async def test_what_a_user_can_see_and_click_is_not_covered(site):
    small = {name: files for name, files in FINE.items() if not name.startswith("larger")}
    assert await look_at(site, small, FREE) == dict.fromkeys(small, "")


COVERS = {
    "a box": f"<div style='{OVER}'></div>",
    "half of it": f"<div style='{OVER}left:90px'></div>",
    "insisting": f"<div style='{OVER[:-1]}!important;visibility:visible!important'></div>",
    "below one that is see-through": f"<div style='{OVER}'></div><div style='{OVER}background:none'></div>",
    "in a shadow": f"<div id=h></div><script>h.attachShadow({{mode: 'closed'}}).innerHTML = `<i style='{OVER}'></i>`</script>",
    "a picture": f"<svg style='{OVER}background:none' width=400 height=300><rect width=400 height=300 fill=red /></svg>",
    "a shape": "<svg style='position:absolute;left:40px;top:40px;overflow:visible' width=1 height=1>"
    "<rect width=80 height=60 fill=red pointer-events=none /></svg>",
    "a frame": f'<iframe style="{OVER}border:0" width=400 height=300 srcdoc="<body style=\'background:red\'>"></iframe>',
    "what comes before an element": f"<style>body::before {{ content: ''; z-index: 9; {OVER} }}</style>",
    "a dialog": f"<dialog id=d style='{OVER}width:400px;height:300px;margin:0;border:0'></dialog><script>d.show()</script>",
    "behind a dialog": f"<dialog id=d style='pointer-events:none;width:9px'></dialog><style>::backdrop {{ {OVER} }}</style><script>d.showModal()</script>",
    "a popover": f"<div popover id=d style='{OVER}width:400px;height:300px'></div><script>d.showPopover()</script>",
    "an inert box": "<div inert style='position:fixed;inset:0;background:red'></div>",
    "a form with a parent of its own choice": f"<form id=f style='{OVER}'></form><script>b.innerHTML = '<input form=f name=parentNode hidden>Save'</script>",
    "twenty-five boxes": f"<div style='{OVER}'></div>" * 25,
}


async def test_what_hides_an_element_covers_it_though_it_lets_clicks_through(site):
    said = await look_at(site, {name: button("", over) for name, over in COVERS.items()}, FREE)
    assert [name for name in COVERS if not said[name].startswith("covered: button#b (")] == [], said


async def test_of_many_matches_the_one_that_is_not_seen_is_named(site):
    rows = "".join(f"<li id=r{i} class=row>row {i}</li>" for i in range(60)).replace(
        "id=r41", "id=r41 style='opacity:.01'"
    )
    rows = rows.replace("id=r7 ", "id=r7 style='box-shadow:0 0 0 300px #eee' ")
    verdict = await site.look(
        {"index.html": f"{HTML}<ul>{rows}</ul>"}, page({"kind": "visible", "selector": ".row"})
    )
    assert verdict.checks[0].message == "not visible: li#r41.row (nothing of it is seen)", verdict
