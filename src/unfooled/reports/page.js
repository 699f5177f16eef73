"use strict";
// What results.html does by itself: slide through eps, say a mark's numbers, hand out figures.

function slide() {
  const data = JSON.parse(document.getElementById("album").textContent);
  const input = document.getElementById("eps");
  const strips = [...document.querySelectorAll(".strip")];
  const called = (place) => data.classes[place] ?? "nothing";
  const show = () => {
    const row = Number(input.value);
    const size = data.sizes[row];
    document.getElementById("size").textContent = size;
    input.setAttribute("aria-valuetext", size);
    const told = strips.map((strip, place) => {
      const reads = data.read[place][row];
      strip.style.setProperty("--y", row);
      [...strip.querySelectorAll(".tile")].forEach((tile, column) => {
        const [read, label] = [called(reads[column]), called(data.labels[column])];
        tile.classList.toggle("wrong", reads[column] !== data.labels[column]);
        tile.setAttribute("aria-label", `${label}, read as ${read}`);
        tile.querySelector("span").textContent = read;
      });
      const right = reads.filter((read, column) => read === data.labels[column]).length;
      const words = `${right} of ${reads.length} read correctly`;
      strip.querySelector("h3 span").textContent = words;
      return `${data.titles[place]}: ${words}`;
    });
    return `${size}. ${told.join("; ")}.`;
  };
  input.disabled = false;
  input.addEventListener("input", show);
  input.addEventListener("change", () => { document.getElementById("told").textContent = show(); });
}

// A mark's own <title> would come late, and not at all under a finger.
function point() {
  const tip = document.getElementById("tip");
  const marks = [...document.querySelectorAll(".tip")].map((mark) => {
    const title = mark.querySelector("title");
    const words = title.textContent;
    title.remove();
    return { mark, words, figure: mark.closest("svg") };
  });
  const reach = 28;
  let last = null;
  const leave = () => { tip.hidden = true; last?.classList.remove("here"); last = null; };
  const near = (event) => {
    const figure = event.target.closest?.(".drawing svg");
    let best = null, least = reach;
    for (const one of figure ? marks.filter((m) => m.figure === figure) : []) {
      const box = one.mark.getBoundingClientRect();
      const far = Math.hypot(event.clientX - (box.left + box.right) / 2, event.clientY - (box.top + box.bottom) / 2);
      if (far < least) [best, least] = [one, far];
    }
    if (!best) return leave();
    if (last !== best.mark) { leave(); last = best.mark; last.classList.add("here"); }
    tip.textContent = best.words;
    tip.hidden = false;
    const [wide, high] = [tip.offsetWidth, tip.offsetHeight];
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - wide - 4))}px`;
    tip.style.top = `${event.clientY > high + 24 ? event.clientY - high - 14 : event.clientY + 20}px`;
  };
  document.addEventListener("pointermove", near);
  document.addEventListener("pointerdown", near);
  document.addEventListener("scroll", leave, { passive: true });
}

// The figure as it stands here, with its colours as they are on paper.
function hand() {
  for (const button of document.querySelectorAll("[data-get]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const svg = button.closest("figure").querySelector("svg");
      const text = new XMLSerializer().serializeToString(svg).replace(/var\(--c-([0-9a-f]{6})\)/g, "#$1");
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
      link.download = button.dataset.get;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }
}

if (document.getElementById("album")) slide();
point();
hand();
