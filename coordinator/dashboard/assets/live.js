"use strict";
// Keeps an open page fresh: fetches it again and puts in the parts that changed. Everything works without this, more slowly.
(() => {
  document.documentElement.classList.add("live");
  const main = document.getElementById("main"), lost = document.getElementById("lost");
  const slowest = 15; // seconds between tries while nobody answers
  let failures = 0;

  const busy = (old) => { // somebody is marking text in it
    const marked = getSelection();
    return marked && !marked.isCollapsed && old.contains(marked.anchorNode);
  };

  const swap = (old, fresh) => {
    const open = new Set([...old.querySelectorAll("details[open]")].map((d) => d.id));
    for (const d of fresh.querySelectorAll("details")) d.open = open.has(d.id);
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    const at = focus && [...old.querySelectorAll("a, button, summary, code")].indexOf(focus);
    old.replaceWith(fresh);
    if (focus && at >= 0) [...fresh.querySelectorAll("a, button, summary, code")][at]?.focus({ preventScroll: true });
  };

  const put = (page) => {
    const fresh = page.getElementById("main");
    if (!fresh) return location.reload();
    document.title = page.title;
    main.dataset.refresh = fresh.dataset.refresh;
    const wanted = new Set([...fresh.children].map((e) => e.id));
    for (const e of [...main.children]) if (!wanted.has(e.id)) e.remove();
    let after = null;
    for (const e of [...fresh.children]) {
      const old = document.getElementById(e.id), source = e.outerHTML;
      if (!old) {
        after ? after.after(e) : main.prepend(e);
        e.source = source;
      } else if ((old.source ?? old.outerHTML) !== source && !busy(old)) {
        swap(old, e);
        e.source = source;
      }
      after = document.getElementById(e.id);
    }
  };

  const look = async () => {
    try {
      const answer = await fetch(location.href, { redirect: "manual", cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (answer.type === "opaqueredirect" || answer.status === 404 || answer.status === 403) return location.reload();
      if (!answer.ok) throw new Error(answer.statusText);
      put(new DOMParser().parseFromString(await answer.text(), "text/html"));
      failures = 0;
    } catch {
      failures++;
    }
    lost.hidden = failures < 2;
    wait();
  };

  const wait = () => {
    const every = Number(main.dataset.refresh);
    if (every > 0) setTimeout(() => (document.hidden ? document.addEventListener("visibilitychange", look, { once: true }) : look()), 1000 * Math.min(every * (1 + failures), Math.max(every, slowest)));
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const code = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Marked";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });

  for (const e of main.children) e.source = e.outerHTML;
  wait();
})();
