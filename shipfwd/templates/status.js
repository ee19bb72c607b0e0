"use strict";
(() => {
  const data = JSON.parse(document.getElementById("rows").textContent);
  const [ID, INTEGRATION, ORDER, CARRIER, NUMBER, STATE, REASON, SHIPPED, SENT, CONFIRMED, SIGN, TIP] = Array(12).keys();
  const PAGE = 100, PRINTED = 5000;
  const body = document.querySelector("#shipments tbody");
  const said = document.getElementById("said");
  const search = document.getElementById("search");
  const pick = document.getElementById("integration");
  const boxes = [...document.querySelectorAll("input[name=state]")];
  const buttons = [...document.querySelectorAll("#shipments th button")];
  const back = document.getElementById("back"), on = document.getElementById("on");
  const texts = data.map((row) => [row[ID], row[INTEGRATION], row[ORDER], row[CARRIER], row[NUMBER], row[STATE],
    row[REASON], row[SENT]].join("\n").toLowerCase());
  let shown = data.map((row, n) => n), page = 0, column = ID, down = true;

  const cell = (text, name, small) => {
    const made = document.createElement("td");
    made.className = name;
    made.setAttribute("role", "cell");
    made.textContent = text;
    if (small) {
      const more = document.createElement("small");
      more.textContent = small;
      made.append(more);
    }
    return made;
  };
  const line = (row) => {
    const made = document.createElement("tr");
    made.className = row[STATE];
    made.setAttribute("role", "row");
    const sign = cell(row[SIGN], "sign");
    sign.title = row[TIP];
    const spoken = document.createElement("span");
    spoken.className = "hidden";
    spoken.textContent = row[TIP];
    sign.append(spoken);
    made.append(sign, cell(row[ID], "id"), cell(row[INTEGRATION], ""), cell(row[ORDER], "number"),
      cell(row[NUMBER], "number tracking", row[CARRIER]), cell(row[SHIPPED], "time"), cell(row[SENT], "time"),
      cell(row[STATE], "why", row[REASON]));
    return made;
  };
  const draw = (from, count) => body.replaceChildren(...shown.slice(from, from + count).map((n) => line(data[n])));
  const show = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(page, pages - 1);
    draw(page * PAGE, PAGE);
    said.textContent = `${shown.length} of ${data.length} shipments, page ${page + 1} of ${pages}`;
    back.disabled = page === 0;
    on.disabled = page >= pages - 1;
  };
  const compare = (a, b) => {
    const x = data[a][column], y = data[b][column];
    const order = typeof x === "number" ? x - y : x < y ? -1 : x > y ? 1 : 0;
    return (down ? -order : order) || data[b][ID] - data[a][ID];
  };
  const find = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const states = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const where = pick.value;
    shown = [];
    for (let n = 0; n < data.length; n++) {
      const row = data[n];
      if ((states.size === 0 || states.has(row[STATE])) && (!where || row[INTEGRATION] === where) &&
          words.every((word) => texts[n].includes(word))) shown.push(n);
    }
    shown.sort(compare);
    page = 0;
    show();
  };
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  search.addEventListener("input", find);
  pick.addEventListener("change", find);
  boxes.forEach((box) => box.addEventListener("change", find));
  back.addEventListener("click", () => { page--; show(); });
  on.addEventListener("click", () => { page++; show(); });
  buttons.forEach((button) => button.addEventListener("click", () => {
    const chosen = Number(button.dataset.column);
    down = chosen === column ? !down : chosen === ID;
    column = chosen;
    buttons.forEach((other) => other.closest("th").setAttribute("aria-sort",
      other === button ? (down ? "descending" : "ascending") : "none"));
    shown.sort(compare);
    page = 0;
    show();
  }));
  addEventListener("beforeprint", () => draw(0, PRINTED));
  addEventListener("afterprint", show);
  document.querySelectorAll(".needs-script").forEach((part) => { part.hidden = false; });
  show();
})();
