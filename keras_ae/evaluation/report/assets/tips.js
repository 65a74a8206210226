// One tooltip for the page: what a heading means, on hover and on keyboard focus.

import { make } from "./dom.js";

let tip = null;

/** Show the text of `target` beside it while the pointer or the focus is there; Escape hides it. */
export function addTip(target, text) {
  const show = () => showTip(target, text);
  target.addEventListener("pointerenter", show);
  target.addEventListener("focus", show);
  target.addEventListener("pointerleave", hideTip);
  target.addEventListener("blur", hideTip);
  target.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
}

function showTip(target, text) {
  hideTip();
  tip = make("div", { class: "tip", role: "tooltip", id: "tip" }, text);
  document.body.append(tip);
  placeBeside(tip, target.getBoundingClientRect());
  target.setAttribute("aria-describedby", "tip");
  tip.target = target;
}

export function hideTip() {
  if (!tip) return;
  tip.target?.removeAttribute("aria-describedby");
  tip.remove();
  tip = null;
}

/** Put a fixed element below a rectangle of the window, or above it where there is no room. */
export function placeBeside(element, rectangle, gap = 8) {
  const { width, height } = element.getBoundingClientRect();
  const [across, down] = [document.documentElement.clientWidth, window.innerHeight];
  const middle = rectangle.left + rectangle.width / 2 - width / 2;
  element.style.left = `${Math.max(gap, Math.min(middle, across - width - gap))}px`;
  const below = rectangle.bottom + gap;
  const above = rectangle.top - height - gap;
  element.style.top = `${below + height > down && above > 0 ? above : below}px`;
}
