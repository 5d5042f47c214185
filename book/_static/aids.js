/* Aids for reading: what a reference leads to is shown beside it, pictures can be enlarged, and the
   TeX of an equation copied. Without this script a page lacks nothing else. */
{
  const article = document.querySelector("article.bd-article");
  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  /* What there is to see at a place of a page: nothing for a place that would say no more than the
     link to it does. */
  const preview = (page, id) => {
    const place = id && page.getElementById(id);
    if (!place) return null;
    if (place.matches("dt")) return [place, place.nextElementSibling];
    const whole = place.closest("div.math, figure, div.proof, div.exercise, div.citation");
    if (whole) return [whole];
    const section = place.closest("section");
    const first = section?.querySelector(":scope > p");
    const heading = section?.querySelector(":scope > :is(h1, h2, h3, h4)");
    return first && (place === section || place.nextElementSibling === heading)
      ? [heading, first] : null;
  };

  /* A copy to be looked at: no places, nothing to press. */
  const copy = (nodes, base) => nodes.map((node) => {
    const twin = node.cloneNode(true);
    twin.querySelectorAll("a.headerlink, button, script, .copybtn, .equation-links")
      .forEach((part) => part.remove());
    twin.querySelectorAll("a").forEach((link) => link.replaceWith(...link.childNodes));
    [twin, ...twin.querySelectorAll("*")].forEach((part) => {
      for (const name of ["id", "tabindex", "role", "data-tex", "aria-haspopup"])
        part.removeAttribute(name);
      if (part.matches("img[src]")) part.src = new URL(part.getAttribute("src"), base).href;
    });
    return twin;
  });

  const pages = new Map();  // by address: what other pages of the book say
  const read = (address) => {
    if (address === location.origin + location.pathname || address === location.href.split("#")[0])
      return Promise.resolve(document);
    if (!pages.has(address)) {
      const told = fetch(address).then((answer) => (answer.ok ? answer.text() : ""));
      const parse = (text) => new DOMParser().parseFromString(text, "text/html");
      pages.set(address, told.then(parse).catch(() => null));
    }
    return pages.get(address);
  };

  const card = make("div", {id: "reference-card", className: "bd-content", popover: "manual"});
  card.setAttribute("role", "tooltip");
  let shown = null;  // the link that the card speaks of
  let wanted = null;
  let timer = 0;

  const hide = () => {
    clearTimeout(timer);
    wanted = null;
    shown?.removeAttribute("aria-describedby");
    shown = null;
    if (card.matches(":popover-open")) card.hidePopover();
  };

  const show = async (link) => {
    clearTimeout(timer);
    if (link === shown) return;
    wanted = link;
    const [address, place] = link.href.split("#");
    if (location.protocol === "file:" && address !== location.href.split("#")[0]) return hide();
    const page = await read(address);
    const found = page && preview(page, decodeURIComponent(place));
    if (wanted !== link) return;
    hide();
    if (!found) return;
    const copies = copy(found, address);
    card.replaceChildren(...(found[0].matches("dt") ? [make("dl", {}, ...copies)] : copies));
    card.showPopover();
    const {left, top, bottom} = link.getClientRects()[0];
    const {offsetWidth: width, offsetHeight: height} = card;
    const below = bottom + height + 8 < innerHeight || top < height + 8;
    const most = document.documentElement.clientWidth - width - 8;
    card.style.left = `${scrollX + Math.max(8, Math.min(left, most))}px`;
    card.style.top = `${scrollY + (below ? bottom + 6 : top - height - 6)}px`;
    link.setAttribute("aria-describedby", card.id);
    shown = wanted = link;
  };

  const later = (action, wait) => {
    clearTimeout(timer);
    timer = setTimeout(action, wait);
  };

  const give_cards = () => {
    if (!("popover" in HTMLElement.prototype)) return;
    document.body.append(card);
    const reference = (event) => event.target.closest?.("a.reference.internal[href*='#']");
    article.addEventListener("pointerover", (event) => {
      if (event.pointerType === "mouse" && reference(event))
        later(() => show(reference(event)), 250);
    });
    article.addEventListener("pointerout", (event) => {
      if (event.pointerType === "mouse" && reference(event)) later(hide, 300);
    });
    card.addEventListener("pointerenter", () => clearTimeout(timer));
    card.addEventListener("pointerleave", () => later(hide, 300));
    article.addEventListener("focusin", (event) => {
      if (reference(event)?.matches(":focus-visible")) show(reference(event));
    });
    article.addEventListener("focusout", hide);
    /* A finger points by touching: the first touch shows, the second one follows the link. */
    let touched = false;
    addEventListener("pointerdown", (event) => {
      touched = event.pointerType === "touch";
      if (!card.contains(event.target) && reference(event) !== shown) hide();
    });
    article.addEventListener("click", (event) => {
      const link = reference(event);
      if (!touched || !link || link === shown) return;
      const [address, place] = link.href.split("#");
      const here = address === location.href.split("#")[0];
      if (here ? !preview(document, decodeURIComponent(place)) : location.protocol === "file:")
        return;
      event.preventDefault();
      show(link).then(() => { if (shown !== link) location.href = link.href; });
    });
    addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
    addEventListener("resize", hide);
  };

  const give_lens = () => {
    const close = make("button", {type: "button", className: "btn btn-sm", textContent: "Close"});
    const dialog = make("dialog", {className: "enlarged"}, close);
    dialog.setAttribute("aria-label", "Picture, enlarged");
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    document.body.append(dialog);
    const pictures = "figure:not(.live) img, div.cell_output img, p > img";
    for (const image of article.querySelectorAll(pictures)) {
      if (image.closest("a")) continue;
      image.tabIndex = 0;
      image.setAttribute("role", "button");  // its name stays its alternative text
      image.setAttribute("aria-haspopup", "dialog");
      image.classList.add("enlarges");
      const open = () => {
        const {src, alt, naturalWidth: width, naturalHeight: height} = image;
        dialog.replaceChildren(close, make("img", {src, alt, width, height}));
        dialog.showModal();
      };
      image.addEventListener("click", open);
      image.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        open();
      });
    }
  };

  const give_tex = () => {
    const said = make("span", {className: "visually-hidden", role: "status"});
    document.body.append(said);
    for (const equation of article.querySelectorAll("div.math[data-tex]")) {
      const button = make("button", {type: "button", className: "copy-tex", textContent: "TeX"});
      const number = equation.querySelector(".eqno")?.firstChild.data;
      button.setAttribute("aria-label", `Copy the TeX of ${number ? `equation ${number}` : "this"}`);
      button.title = "Copy the TeX";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(equation.dataset.tex);
        button.textContent = said.textContent = "Copied";
        setTimeout(() => { button.textContent = "TeX"; said.textContent = ""; }, 1500);
      });
      equation.prepend(button);
    }
  };

  /* What adds to the page waits for a sign of the reader, so that it does not delay the page; who
     reads with a program that gives none has it a little later. */
  if (article) {
    give_cards();
    const signs = ["pointermove", "pointerdown", "keydown"];
    const begin = () => {
      signs.forEach((sign) => removeEventListener(sign, begin, true));
      clearTimeout(waiting);
      give_lens();
      give_tex();
    };
    const waiting = setTimeout(begin, 5000);
    signs.forEach((sign) => addEventListener(sign, begin, true));
  }
}
