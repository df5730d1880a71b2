const form = document.getElementById("note");
form.addEventListener("submit", (event) => {
  event.preventDefault();
  document.getElementById("status").textContent = "Saved: " + document.getElementById("title").value;
});
