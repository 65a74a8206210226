// The controls that several parts share.

import { make } from "./dom.js";

/** A labeled list of choices `[value, text]`; `change(value)` receives strings. */
export function chooser(label, choices, change, chosen) {
  const select = make("select", { onchange: () => change(select.value) });
  for (const [value, text] of choices) {
    select.append(make("option", { value, selected: String(value) === String(chosen) }, text));
  }
  return make("label", { class: "control" }, make("span", {}, label), select);
}

/** A row of buttons of which one is pressed; `change(value)` when another one is. */
export function switcher(label, choices, change, chosen) {
  const group = make("div", { class: "switcher", role: "group", "aria-label": label });
  for (const [value, text] of choices) {
    const button = make(
      "button",
      { type: "button", "aria-pressed": String(value === chosen) },
      text,
    );
    button.addEventListener("click", () => {
      for (const other of group.children)
        other.setAttribute("aria-pressed", String(other === button));
      change(value);
    });
    group.append(button);
  }
  return group;
}

/** A place for a sentence that screen readers speak when it changes. */
export function liveText(className) {
  return make("p", { class: className, role: "status", "aria-live": "polite" });
}
