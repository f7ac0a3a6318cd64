"use strict";
// The viewer of predictions. Texts are set as text alone (textContent), never as HTML.
(async () => {
  const STEP = 20; // answers shown, and added by "Show more"
  const MOST_LETTERS = 1500; // of a text, before "Show all"
  // As in terminal.py: characters that change how other text is shown, or are not seen.
  const HIDDEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\ud800-\udfff]/gu;

  const section = document.getElementById("viewer");
  const form = section.querySelector("form");
  const count = section.querySelector(".count");
  const list = section.querySelector(".answers");
  const more = section.querySelector(".more");
  const field = Object.fromEntries(
    ["system", "category", "task", "which", "search"].map((name) => [name, form.elements[name]]),
  );

  const data = await read();
  if (!data) return;
  const { systems, tasks, instructions, instances } = data;
  const TASK = 1, INSTRUCTION = 2, REST = 3, REFERENCES = 4; // places in an instance
  const small = (text) => (text ?? "").toLowerCase();
  const sought = instances.map((each) => small([each[0], each[REST] ?? "", ...each[REFERENCES]].join("\n")));
  for (const system of systems) {
    system.sought = system.rows.map((row) => small(row[1]));
    system.of = new Map(system.rows.map((row) => [keyOf(row), row]));
  }
  let found = [];
  let saving = 0;

  fill(field.system, systems.map((system, number) => [number, `${system.name}, ${system.metric}`]));
  const categories = [...new Set(tasks.map(([, category]) => category))].filter(Boolean).sort();
  fill(field.category, [["", "all"], ...categories.map((name) => [name, name])]);
  field.system.closest("label").hidden = systems.length < 2;
  field.category.closest("label").hidden = !categories.length;
  form.hidden = false;
  set({});
  filter();
  restore();
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    set({ system: field.system.value });
    update(event);
  });
  more.addEventListener("click", () => show(STEP));
  addEventListener("hashchange", restore);

  async function read() {
    const packed = document.getElementById("data-of-predictions").textContent;
    try {
      const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      return JSON.parse(await new Response(stream).text());
    } catch (error) {
      count.textContent = `The predictions cannot be read (${error.message}). A browser of 2023 or later can.`;
      return null;
    }
  }

  // Systems that answered the same instance share it, whatever its input was.
  function keyOf(row) {
    const instance = instances[row[0]];
    return `${instance[TASK]} ${instance[0]}`;
  }

  function fill(select, options) {
    select.replaceChildren(...options.map(([value, text]) => new Option(visible(text), value)));
  }

  function fillTasks() {
    const category = field.category.value;
    const names = tasks.filter((task) => !category || task[1] === category).map(([name]) => name);
    const before = field.task.value;
    fill(field.task, [["", "all"], ...[...new Set(names)].sort().map((name) => [name, name])]);
    field.task.value = names.includes(before) ? before : "";
  }

  // What is not named, or not there, gets its first value.
  function set(view) {
    for (const name of ["system", "category", "task", "which", "search"]) {
      if (name === "task") fillTasks();
      field[name].value = view[name] ?? "";
      if (field[name].selectedIndex < 0) field[name].selectedIndex = 0;
    }
  }

  // The view is in the address, #predictions?task=…, so that it can be shared.
  function restore() {
    const [place, view] = location.hash.split(/\?(.*)/s);
    if (place !== "#predictions" || !view) return;
    set(Object.fromEntries(new URLSearchParams(view)));
    filter();
    document.getElementById("predictions").scrollIntoView();
  }

  function update(event) {
    if (event.target === field.category) fillTasks();
    filter();
    clearTimeout(saving); // browsers allow some changes of the address in a second
    saving = setTimeout(() => {
      const view = new URLSearchParams(
        Object.entries(field).map(([name, { value }]) => [name, value]).filter(([name, value]) => value && (name !== "system" || value !== "0")),
      );
      history.replaceState(null, "", view.size ? `#predictions?${view}` : "#predictions");
    }, 300);
  }

  function filter() {
    const system = systems[field.system.value];
    const [category, task, which] = ["category", "task", "which"].map((name) => field[name].value);
    const words = wanted();
    const isChosen = tasks.map((each) => (!task || each[0] === task) && (!category || each[1] === category));
    const isIn = instructions.map((text) => small(text).includes(words));
    found = [];
    let sum = 0, scored = 0;
    system.rows.forEach((row, number) => {
      const [place, , score] = row;
      const instance = instances[place];
      if (!isChosen[instance[TASK]]) return;
      if (which && (score === null || (score >= system.best) !== (which === "right"))) return;
      if (words && !isIn[instance[INSTRUCTION]] && !sought[place].includes(words) && !system.sought[number].includes(words)) return;
      found.push(row);
      if (score !== null) {
        sum += score;
        scored += 1;
      }
    });
    const mean = scored ? `; mean ${visible(system.metric)} ${(sum / scored).toFixed(2)}` : "";
    count.dataset.about = `${found.length.toLocaleString("en")} of ${system.rows.length.toLocaleString("en")} answers${mean}`;
    list.replaceChildren();
    show(STEP);
  }

  function wanted() {
    return small(field.search.value).trim();
  }

  function show(number) {
    const first = list.children.length;
    list.append(...found.slice(first, first + number).map(card));
    more.hidden = list.children.length >= found.length;
    count.textContent = `${count.dataset.about}; ${list.children.length.toLocaleString("en")} shown`;
    // The button may be gone: whoever pressed it goes on at what it has brought.
    if (first && list.children[first]) list.children[first].focus({ preventScroll: true });
  }

  function card(row) {
    const system = systems[field.system.value];
    const instance = instances[row[0]];
    const [task, category] = tasks[instance[TASK]];
    const item = element("li", "");
    item.tabIndex = -1;
    const about = element("p", "about");
    about.append(element("b", "", task), element("span", "", category), element("span", "", instance[0]));
    const parts = element("dl", "");
    add(parts, "Input", instance[REST] === null ? [none("not known")] : input(instance));
    add(parts, instance[REFERENCES].length === 1 ? "Reference" : "References", instance[REFERENCES].map(text));
    answer(parts, system, row, systems.length > 1 ? system.name : "Answer");
    for (const other of systems) {
      const same = other === system ? undefined : other.of.get(keyOf(row));
      if (same) answer(parts, other, same, other.name);
    }
    item.append(about, parts);
    return item;
  }

  function input(instance) {
    const instruction = instructions[instance[INSTRUCTION]];
    const rest = instance[REST] ? [text(instance[REST])] : [];
    if (!instruction) return rest;
    const folded = element("details", "");
    const summary = element("summary", "");
    const isFound = wanted() && small(instruction).includes(wanted());
    summary.append(element(isFound ? "mark" : "span", "", "Instruction"));
    folded.append(summary);
    folded.addEventListener("toggle", () => {
      if (folded.children.length > 1) return;
      const whole = text(instruction);
      whole.classList.add("folded");
      folded.append(whole);
    });
    return [folded, ...rest];
  }

  function answer(parts, system, [, prediction, score], title) {
    const right = score !== null && score >= system.best;
    const mark = element("div", `mark ${score === null ? "none" : right ? "is-right" : "is-wrong"}`);
    mark.textContent = score === null ? "no score" : `${right ? "✓ right" : "✗ wrong"}, ${visible(system.metric)} ${Number(score.toFixed(2))}`;
    const given = prediction === null ? none("no answer") : prediction === "" ? none("empty answer") : text(prediction);
    add(parts, title, [given, mark]);
  }

  function add(parts, title, contents) {
    const about = element("dd", "");
    about.append(...(contents.length ? contents : [none("none")]));
    parts.append(element("dt", "", title), about);
  }

  function none(why) {
    return element("div", "none", why);
  }

  function text(whole) {
    const box = element("div", "text");
    box.dir = "auto";
    const words = wanted();
    const hit = words ? small(whole).indexOf(words) : -1;
    const end = Math.max(MOST_LETTERS, hit < 0 ? 0 : hit + words.length + 200);
    const isCut = whole.length > end;
    // Not between the two halves of a character.
    box.append(...marked(isCut ? whole.slice(0, end).replace(/[\ud800-\udbff]$/, "") : whole));
    if (isCut) {
      const all = element("button", "whole", `Show all ${whole.length.toLocaleString("en")} characters`);
      all.type = "button";
      all.addEventListener("click", () => {
        box.replaceChildren(...marked(whole));
        box.tabIndex = -1;
        box.focus({ preventScroll: true });
      });
      box.append("… ", all);
    }
    return box;
  }

  // A text with what was searched for in marks.
  function marked(whole) {
    const words = field.search.value.trim();
    if (!words) return [visible(whole)];
    const pattern = new RegExp(`(${words.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")})`, "giu");
    return whole.split(pattern).map((part, number) => (number % 2 ? element("mark", "", part) : visible(part)));
  }

  function element(name, className, content) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (content) made.textContent = visible(content);
    return made;
  }

  function visible(whole) {
    return whole.replace(HIDDEN, (letter) => {
      const code = letter.codePointAt(0);
      return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
    });
  }
})();
