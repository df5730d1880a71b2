"""The function that measures a page. It runs in an isolated world, whose built-ins no page can patch."""

#: What measuring and `paint_js.py` have in common.
COMMON = r"""
  const MOST = 500;
  const name = e => (e.tagName || "?").toLowerCase() + (e.id ? "#" + e.id : "") +
    (typeof e.className === "string" && e.className ? "." + e.className.trim().split(/\s+/).join(".") : "");
  const short = e => name(e).slice(0, 80);
  const shown = e => {
    const r = e.getBoundingClientRect();
    return e.checkVisibility({opacityProperty: true, visibilityProperty: true}) && r.width > 0 && r.height > 0 &&
      r.right + scrollX > 0 && r.bottom + scrollY > 0;
  };
  // Scroll an element to where a user can scroll it: what hides its overflow is not scrolled by hand.
  const bring = (e, where = "center") => {
    const root = document.documentElement, of = a => getComputedStyle(a), held = [];
    const fixed = overflow => overflow === "hidden" || overflow === "clip";
    const view = document.scrollingElement ?? root;
    const own = of(root), body = document.body;
    const page = own.overflowX === "visible" && own.overflowY === "visible" && body ? of(body) : own;
    const hold = (a, style) => held.push([a, fixed(style.overflowX) ? a.scrollLeft : null,
      fixed(style.overflowY) ? a.scrollTop : null]);
    for (let a = e.parentNode; a; a = a.parentNode ?? a.host)
      if (a instanceof Element && a !== view && a !== root) hold(a, of(a));
    hold(view, page);
    e.scrollIntoView({block: where, inline: where, behavior: "instant"});
    for (const [a, left, top] of held) {
      if (left !== null && a.scrollLeft !== left) a.scrollTo({left, behavior: "instant"});
      if (top !== null && a.scrollTop !== top) a.scrollTo({top, behavior: "instant"});
    }
  };
"""

SOURCE = r"""
(queries) => {
  const WORDS = 10000;
@COMMON@  const box = r => ({x: r.x, y: r.y, width: r.width, height: r.height});
  const words = e => (e.innerText ?? e.textContent ?? "").replace(/\s+/g, " ").trim().slice(0, WORDS);
  const inside = e => {
    const r = e.getBoundingClientRect(), root = document.documentElement;
    return r.left >= -0.5 && r.top >= -0.5 && r.right <= root.clientWidth + 0.5 && r.bottom <= innerHeight + 0.5;
  };
  const coveredBy = e => {
    const x0 = scrollX, y0 = scrollY;
    bring(e);
    const r = e.getBoundingClientRect();
    let found = null;
    for (const [fx, fy] of [[.5, .5], [.2, .2], [.8, .2], [.2, .8], [.8, .8]]) {
      const hit = document.elementFromPoint(r.x + r.width * fx, r.y + r.height * fy);
      if (!hit || !(hit === e || e.contains(hit))) { found = hit ? short(hit) : "nothing"; break; }
    }
    scrollTo({left: x0, top: y0, behavior: "instant"});
    return found;
  };
  const overlaps = all => {
    const found = [];
    for (let i = 0; i < all.length; i++) for (let j = i + 1; j < all.length; j++) {
      if (all[i].contains(all[j]) || all[j].contains(all[i])) continue;
      const a = all[i].getBoundingClientRect(), b = all[j].getBoundingClientRect();
      const w = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (w > 1 && h > 1 && found.length < 5) found.push(short(all[i]) + " and " + short(all[j]));
    }
    return found;
  };
  const answer = q => {
    if (q.what === "scroll") {
      const root = document.documentElement;
      return {width: Math.max(root.scrollWidth, document.body ? document.body.scrollWidth : 0), room: root.clientWidth};
    }
    const all = [...document.querySelectorAll(q.selector)], some = all.slice(0, MOST), first = all[0];
    const fact = {count: all.length};
    if (q.what === "visible") fact.bad = some.filter(e => !shown(e)).slice(0, 5).map(short);
    if (q.what === "in_viewport") fact.bad = some.filter(e => !shown(e) || !inside(e)).slice(0, 5).map(short);
    if (q.what === "not_covered")
      fact.bad = some.map(e => [e, shown(e) ? coveredBy(e) : "not visible"]).filter(([, by]) => by !== null)
        .slice(0, 5).map(([e, by]) => short(e) + " (" + by + ")");
    if (q.what === "no_overlap") fact.bad = overlaps(some);
    if (q.what === "boxes") fact.boxes = some.map(e => box(e.getBoundingClientRect()));
    if (q.what === "selector" && first) {
      const style = getComputedStyle(first);
      fact.text = words(first);
      fact.attributes = Object.fromEntries(q.attributes.map(a => [a, first.getAttribute(a)]));
      fact.style = Object.fromEntries(q.style.map(p => [p, style.getPropertyValue(p)]));
    }
    return fact;
  };
  return queries.map(q => { try { return answer(q); } catch (e) { return {error: String(e).slice(0, 300)}; } });
}
""".replace("@COMMON@", COMMON)
