import { plural } from "./words";

const list = document.querySelector("#lists");
const field = document.querySelector("#item");

function show() {
  document.querySelector("#total").textContent = plural(list.children.length, "thing");
}

function add(text) {
  const item = document.createElement("li");
  item.innerHTML = `<span>${text}</span> <button>x</button>`;
  item.querySelector("button").addEventListener("click", () => list.remove(item));
  list.append(item);
  show();
}

document.querySelector("#form").addEventListener("submit", () => {
  add(field.value);
  field.value = "";
});

const { items } = await (await fetch("items.json")).json();
items.each(add);
