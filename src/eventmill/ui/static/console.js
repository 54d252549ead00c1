// Enhances pages that work without it: copying, themes, local times, live figures, files, menus. Keeps nothing, sends
// nothing anywhere else.
"use strict";

(() => {
  const root = document.documentElement;

  // --- Times ---

  const two = (number) => String(number).padStart(2, "0");

  function localText(ms) {
    const moment = new Date(ms);
    const day = `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
    return `${day} ${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}`;
  }

  function showTimes(within) {
    const isLocal = root.dataset.time === "local";
    for (const each of within.querySelectorAll("time[data-ms]")) {
      each.dataset.utc = each.dataset.utc || each.textContent;
      const local = localText(Number(each.dataset.ms));
      each.textContent = isLocal ? local : each.dataset.utc;
      each.title = isLocal ? each.dataset.utc : `${local} local time`;
    }
  }

  // --- Copying ---

  function offerCopying(within) {
    if (!navigator.clipboard) return;
    for (const each of within.querySelectorAll("button[data-copy][hidden]")) each.hidden = false;
  }

  async function copy(button) {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("done");
    const label = button.getAttribute("aria-label");
    button.setAttribute("aria-label", "Copied");
    setTimeout(() => {
      button.classList.remove("done");
      button.setAttribute("aria-label", label);
    }, 1500);
  }

  // --- Preferences: at once, and kept by the server for the next page ---

  async function prefer(form, button) {
    root.dataset[form.dataset.preference] = button.value;
    for (const each of form.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === button));
    showTimes(document);
    const fields = new URLSearchParams(new FormData(form, button));
    await fetch(form.action, { method: "POST", body: fields, redirect: "manual" });
  }

  // --- Live figures ---

  function follow(box) {
    const mark = document.querySelector("[data-live-mark] .status");
    const source = new EventSource(box.dataset.live);
    const say = (tone, words) => {
      if (!mark) return;
      mark.className = `status ${tone}`;
      mark.lastChild.textContent = words;
    };
    source.addEventListener("open", () => say("ok", "live"));
    source.addEventListener("error", () => say("quiet", "connecting"));
    source.addEventListener("figures", (event) => {
      if (box.contains(document.activeElement)) return; // what somebody is about to use stays where it is
      if (box.querySelector("details.trace[open]")) return say("quiet", "paused while one is open");
      say("ok", "live");
      box.innerHTML = event.data;
      enhance(box);
      if (window.htmx) window.htmx.process(box);
    });
    window.addEventListener("pagehide", () => source.close());
  }

  // --- Files: sent as they are; then the gateway begins anew ---

  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  async function isReady() {
    try {
      return (await fetch("/readyz", { cache: "no-store" })).ok;
    } catch {
      return false; // it is not there yet
    }
  }

  async function upload(form) {
    const button = form.querySelector("button");
    const status = form.querySelector("[role=status]");
    button.disabled = true;
    status.textContent = "Sending the file …";
    const body = form.querySelector("input[type=file]").files[0];
    try {
      const answer = await fetch(form.dataset.upload, { method: "POST", body });
      if (!answer.ok) throw new Error((await answer.json()).message);
    } catch (error) {
      status.textContent = `That did not work. ${error.message}`;
      button.disabled = false;
      return;
    }
    status.textContent = "The gateway begins anew …";
    while (await isReady()) await pause(100);
    while (!(await isReady())) await pause(300);
    window.location.assign(form.dataset.then);
  }

  function enhance(within) {
    showTimes(within);
    offerCopying(within);
    for (const each of within.querySelectorAll("form[data-upload][hidden]")) each.hidden = false;
  }

  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const button = target && target.closest("button[data-copy]");
    if (button) copy(button);
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!target || !menu.contains(target)) menu.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      for (const menu of document.querySelectorAll("details.menu[open]")) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    }
    const isTyping = event.target instanceof Element && event.target.matches("input, textarea, select");
    if (event.key === "/" && !isTyping) {
      const search = document.querySelector("input[type=search]");
      if (search) {
        search.focus();
        event.preventDefault();
      }
    }
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.preference && event.submitter) {
      event.preventDefault();
      prefer(form, event.submitter);
    } else if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) {
      event.preventDefault();
    } else if (form.dataset.upload) {
      event.preventDefault();
      upload(form);
    }
  });

  document.addEventListener("htmx:load", (event) => enhance(event.detail.elt));
  document.addEventListener("DOMContentLoaded", () => {
    enhance(document);
    for (const each of document.querySelectorAll("[data-live]")) follow(each);
    for (const each of document.querySelectorAll(".tabs [aria-current], .side [aria-current]")) {
      each.parentElement.scrollLeft = each.offsetLeft - each.parentElement.offsetLeft - 48;
    }
  });
})();
