// Tables that sort by a click on a heading, explain their columns, and copy themselves as CSV.

import { make } from "./dom.js";
import { addTip } from "./tips.js";

const NUMBER = /^[-−+]?[\d,]*\.?\d+(?:e[-+]?\d+)?/i;

/** The number at the start of a cell, such as 64.52 of "64.52 ± 0.11"; NaN without one. */
export function cellNumber(text) {
  const found = NUMBER.exec(text.trim());
  return found ? Number(found[0].replaceAll(",", "").replace("−", "-")) : Number.NaN;
}

/**
 * The order of rows by the texts of a column: numbers by value, texts in natural order, cells
 * without a value always last. Equal cells keep their order.
 */
export function sortedOrder(texts, descending) {
  const numbers = texts.map(cellNumber);
  const isMissing = (text) => text === "–" || text === "";
  const areNumbers =
    texts.some((text, index) => !isMissing(text) && !Number.isNaN(numbers[index])) &&
    texts.every((text, index) => isMissing(text) || !Number.isNaN(numbers[index]));
  const sign = descending ? -1 : 1;
  const compare = (first, second) => {
    const missing = isMissing(texts[first]) - isMissing(texts[second]);
    if (missing || isMissing(texts[first])) return missing;
    if (areNumbers) return sign * (numbers[first] - numbers[second]);
    return sign * texts[first].localeCompare(texts[second], "en", { numeric: true });
  };
  return texts
    .map((_, index) => index)
    .sort((first, second) => compare(first, second) || first - second);
}

/**
 * Rows of texts as CSV (RFC 4180). A column with "mean ± deviation" becomes two; thousands lose
 * their commas. Texts that a spreadsheet would run as a formula get an apostrophe.
 */
export function toCsv(headings, rows) {
  const spread = headings.map((_, column) => rows.some((row) => row[column].includes(" ± ")));
  const line = (cells) => cells.map(csvCell).join(",");
  const lines = [
    line(headings.flatMap((text, column) => (spread[column] ? [text, `${text} (± std)`] : [text]))),
    ...rows.map((row) =>
      line(
        row.flatMap((text, column) => {
          const [mean, deviation = ""] = text.split(" ± ");
          return spread[column] ? [plainNumber(mean), plainNumber(deviation)] : [plainNumber(text)];
        }),
      ),
    ),
  ];
  return `${lines.join("\r\n")}\r\n`;
}

function plainNumber(text) {
  if (text === "–") return "";
  return /^\d{1,3}(,\d{3})+(\.\d+)?$/.test(text) ? text.replaceAll(",", "") : text;
}

function csvCell(text) {
  const isNumber = NUMBER.exec(text)?.[0] === text;
  const inert = /^[=+\-@\t]/.test(text) && !isNumber ? `'${text}` : text;
  return /[",\r\n]/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
}

/** Make a table of the page sortable, explained, and copyable. */
export function enhanceTable(table) {
  const headings = [...table.querySelectorAll("thead th")];
  headings.forEach((heading, column) => {
    const text = heading.textContent;
    const button = make("button", { type: "button", class: "sort" }, text);
    const help = heading.getAttribute("title");
    if (help) {
      heading.removeAttribute("title");
      heading.classList.add("explained");
      addTip(button, help);
    }
    button.addEventListener("click", () => sortBy(table, headings, column));
    heading.replaceChildren(button);
  });
  // Cells shown as blocks, as on a phone, would lose these roles.
  const roles = {
    "thead, tbody": "rowgroup",
    tr: "row",
    "thead th": "columnheader",
    "tbody th": "rowheader",
    td: "cell",
  };
  table.setAttribute("role", "table");
  for (const [selector, role] of Object.entries(roles)) {
    for (const element of table.querySelectorAll(selector)) element.setAttribute("role", role);
  }
  for (const body of table.tBodies) {
    [...body.rows].forEach((row, index) => {
      row.dataset.place = index;
    });
  }
  table.closest(".scroll").after(makeTools(table, headings));
}

function makeTools(table, headings) {
  const copy = make("button", { type: "button", class: "copy" }, "Copy as CSV");
  copy.addEventListener("click", async () => {
    const rows = [...table.querySelectorAll("tbody tr")].map((row) => [...row.cells].map(cellText));
    const done = await copyText(toCsv(headings.map(cellText), rows));
    copy.textContent = done ? "Copied" : "Copying is not allowed here";
    setTimeout(() => {
      copy.textContent = "Copy as CSV";
    }, 2000);
  });
  const choice = make("select", { "aria-label": "Sort by" });
  choice.append(make("option", { value: "" }, "in the given order"));
  headings.forEach((heading, column) => {
    choice.append(make("option", { value: column }, cellText(heading)));
  });
  choice.addEventListener("change", () =>
    sortBy(table, headings, choice.value === "" ? -1 : Number(choice.value)),
  );
  const label = make("label", { class: "sort-choice" }, "Sort: ", choice); // on a phone, without headings
  return make("div", { class: "table-tools" }, label, copy);
}

function cellText(cell) {
  return cell.textContent.replace(/\s+/g, " ").trim();
}

/** Sort by a column: first the best or lowest, then the other way, then as it was; -1: as it was. */
function sortBy(table, headings, column) {
  const heading = headings[column];
  const higherFirst = heading?.textContent.includes("↑") ?? false;
  const order = higherFirst ? ["descending", "ascending"] : ["ascending", "descending"];
  const now = heading?.getAttribute("aria-sort");
  const next = order[order.indexOf(now) + 1] ?? null;
  for (const other of headings) other.removeAttribute("aria-sort");
  if (heading && next) heading.setAttribute("aria-sort", next);
  for (const body of table.tBodies) {
    const rows = [...body.rows].sort((first, second) => first.dataset.place - second.dataset.place);
    const texts = rows.map((row) => (heading ? cellText(row.cells[column]) : ""));
    const places = heading && next ? sortedOrder(texts, next === "descending") : rows.keys();
    body.append(...Array.from(places, (place) => rows[place]));
  }
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea", { class: "off-page", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
