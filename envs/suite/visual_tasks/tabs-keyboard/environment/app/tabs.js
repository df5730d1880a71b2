const tabs = [...document.querySelectorAll(".tab")];
const panels = [...document.querySelectorAll(".panel")];

tabs.forEach((tab, index) => {
  tab.onclick = () => panels[index].scrollIntoView();
});
