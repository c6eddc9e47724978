// Keyboard (/, j, k; Enter follows the focused link) and the slider over the time machine's moments.
"use strict";

const links = () => [...document.querySelectorAll("[data-rows] [data-row] th a")];

function move(step) {
  const all = links();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + step));
  all[next].focus();
  all[next].scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && typing) return typing.blur();
  if (typing) return;
  if (event.key === "/") {
    const search = document.getElementById("q") || document.getElementById("at");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  } else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
});

for (const form of document.querySelectorAll("form[data-slider]")) {
  const select = form.querySelector("select[name=at]");
  const last = select.options.length - 1;
  if (last < 1) continue;
  const slider = document.createElement("input");
  slider.type = "range";
  slider.min = "0";
  slider.max = String(last);
  slider.value = String(last - select.selectedIndex);
  slider.setAttribute("aria-label", "Time machine, oldest to newest");
  const words = () => slider.setAttribute("aria-valuetext", select.options[select.selectedIndex].text);
  words();
  slider.addEventListener("input", () => {
    select.selectedIndex = last - Number(slider.value);
    words();
  });
  slider.addEventListener("change", () => form.requestSubmit());
  select.addEventListener("change", () => {
    slider.value = String(last - select.selectedIndex);
    words();
  });
  select.before(slider);
}
