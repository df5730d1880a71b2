"""The page's half of `paint.py`, as one object of functions in the isolated world. `@MARK@` is a name that
no style sheet of the page can know."""

from .inspect_js import COMMON

TOOLS = r"""
(() => {
@COMMON@
  const APART = 8;  // a channel that differs by no more is equal, as in comparisons of pictures
  // More specific than any rule that could keep an element from being faded. An element is faded, not made
  // `visibility: hidden`: on that, style can depend (position-visibility), on opacity nothing can.
  const MORE = ":not(" + "#_".repeat(20) + ")", WITH = ["", "::before", "::after", "::backdrop", "::marker"];
  const hides = at => WITH.map(part => at + MORE + part).join() + "{visibility:hidden!important;transition:none!important}";
  const RULES = `[@MARK@fade]${MORE}{opacity:0!important;transition:none!important}` +
    hides("[@MARK@hide]") + hides("[@MARK@hide] *") +
    WITH.slice(1).map(part => `[@MARK@parts]${MORE}${part}`).join() + "{visibility:hidden!important}" +
    `svg ${MORE}{pointer-events:visiblePainted!important}`;  // shapes are not hit without it, whatever is asked for
  // A form's fields shadow its own properties (`<input name=parentNode>`), those of the prototype never.
  const above = Object.getOwnPropertyDescriptor(Node.prototype, "parentNode").get;
  const {setAttribute, removeAttribute} = Element.prototype, {getRootNode} = Node.prototype;
  let chosen = [], hidden = [], pictures = {};
  const armed = new Set();
  const arm = root => {
    if (armed.has(root)) return;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(RULES);
    root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
    armed.add(root);
  };
  const mark = (e, what) => { arm(getRootNode.call(e)); setAttribute.call(e, "@MARK@" + what, ""); };
  const unmark = (e, what) => removeAttribute.call(e, "@MARK@" + what);
  const part = node => node.element && !(node instanceof Node);  // a CSSPseudoElement
  const inView = r => {
    const left = Math.max(0, Math.floor(r.left)), top = Math.max(0, Math.floor(r.top));
    return {x: left, y: top, width: Math.min(innerWidth, Math.ceil(r.right)) - left,
      height: Math.min(innerHeight, Math.ceil(r.bottom)) - top};
  };
  const whole = r => r.left >= 0 && r.top >= 0 && r.right <= innerWidth && r.bottom <= innerHeight;
  const pixels = async data => {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], {type: "image/png"}));
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d", {willReadFrequently: true});
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, image.width, image.height);
  };
  // Whether two pictures differ at a point given in each one's own pixels.
  const apart = (one, i, other, j) => {
    for (let c = 0; c < 3; c++) if (Math.abs(one.data[i + c] - other.data[j + c]) > APART) return true;
    return false;
  };
  arm(document);
  return {
    choose(selector) { chosen = [...document.querySelectorAll(selector)].slice(0, MOST); return chosen.map(short); },
    places(i) {
      const r = chosen[i].getBoundingClientRect(), large = r.width > innerWidth || r.height > innerHeight;
      return large ? ["start", "center", "end"] : ["center"];
    },
    // What can be seen now, after the first of `which` was scrolled to: its box, and others that are wholly there.
    bring(which, where) {
      bring(chosen[which[0]], where);
      return which.map((i, at) => [i, chosen[i].getBoundingClientRect(), at])
        .filter(([, r, at]) => at === 0 || (r.width > 0 && r.height > 0 && whole(r)))
        .map(([i, r]) => ({index: i, ...inView(r)})).filter(v => v.width > 0 && v.height > 0);
    },
    // Points of an element, in whole pixels of the document, inside of its box where it has any.
    aim(i) {
      const r = chosen[i].getBoundingClientRect();
      const to = (low, size, f) => Math.min(Math.max(Math.round(low + size * f), Math.ceil(low)), Math.ceil(low + size) - 1);
      return [[.5, .5], [.2, .2], [.8, .2], [.2, .8], [.8, .8]]
        .map(([fx, fy]) => [to(r.x, r.width, fx) + Math.round(scrollX), to(r.y, r.height, fy) + Math.round(scrollY)]);
    },
    // "" when a node is the element's own, else its name.
    foreign(i, node) {
      const own = chosen[i];
      for (let at = part(node) ? node.element : node; at; at = above.call(at) ?? at.host) if (at === own) return "";
      return part(node) ? short(node.element) + (node.type ?? "") : short(node);
    },
    hide(node) {
      if (part(node)) mark(node.element, "parts"); else mark(node, "hide");
      hidden.push(part(node) ? node.element : node);
    },
    unhide() {
      for (const e of hidden) { unmark(e, "hide"); unmark(e, "parts"); }
      hidden = [];
    },
    fade(i) { mark(chosen[i], "fade"); },
    unfade(i) { unmark(chosen[i], "fade"); },
    rest() {  // films stand still; false while a picture in view has not arrived
      for (const film of document.querySelectorAll("video")) film.pause();
      const there = r => r.bottom > 0 && r.right > 0 && r.top < innerHeight && r.left < innerWidth;
      return [...document.querySelectorAll("img")].every(image => image.complete || !there(image.getBoundingClientRect()));
    },
    async keep(name, data) { pictures[name] = await pixels(data); },
    forget() { pictures = {}; },
    // Of an element's box: `painted` pixels look the same in `before` and `after`, and differ in `faded`; `moving`
    // ones differ between `before` and `after`, `noise` ones between `faded` and `again`. (x, y): where `faded` lies.
    compare(faded, again, x, y) {
      const one = pictures.before, two = pictures.after, gone = pictures[faded], second = pictures[again] ?? gone;
      let painted = 0, moving = 0, noise = 0;
      for (let v = 0; v < gone.height; v++) for (let u = 0; u < gone.width; u++) {
        const i = 4 * (v * gone.width + u), j = 4 * ((v + y) * one.width + u + x);
        const moves = apart(one, j, two, j);
        if (moves) moving++;
        if (gone !== second && apart(gone, i, second, i)) noise++;
        if (!moves && apart(gone, i, one, j)) painted++;
      }
      return {painted, moving, noise};
    },
    // Of what the element paints when nothing lies over it (`bare`, `bareFaded`): how much, and how much of that is lost.
    lost() {
      const {before, after, faded, bare, bareFaded} = pictures;
      let painted = 0, lost = 0;
      for (let i = 0; i < bare.data.length; i += 4) if (apart(bare, i, bareFaded, i)) {
        painted++;
        if (apart(before, i, after, i) || !apart(after, i, faded, i)) lost++;
      }
      return {painted, lost};
    },
  };
})()
""".replace("@COMMON@", COMMON)
