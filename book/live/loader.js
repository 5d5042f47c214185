// In each page with a live figure: loads nothing until the reader starts one, or follows an address
// that says what one shows.
{
  const script = (address) => new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = address;
    element.onload = resolve;
    element.onerror = () => reject(new Error(`the file ${address} did not come`));
    document.head.append(element);
  });
  let engine;
  for (const bar of document.querySelectorAll(".live-bar")) {
    const root = bar.closest("figure");
    const button = bar.querySelector("button"), says = bar.querySelector("p");
    Object.assign(root.dataset, bar.dataset);
    const fault = ({message}) => {
      bar.hidden = false;
      button.hidden = true;
      says.textContent = `This figure can’t run here: ${message}. The picture stands for it.`;
    };
    root.addEventListener("live-fault", ({detail}) => fault(detail));
    const start = async () => {
      button.disabled = true;
      says.textContent = "Loading …";
      try {
        await (engine ??= script(root.dataset.engine));
        root.figure = await onebound.start(root, script);
        bar.hidden = true;
        root.querySelector(".live-stage :is(button, input, select)").focus({preventScroll: true});
      } catch (error) {
        fault(error);
      }
    };
    button.addEventListener("click", start);
    // An address that a reader was sent; one of the same page loads nothing by itself.
    const follow = () => {
      if (!location.hash.startsWith(`#${root.id}?`) || root.figure?.address === location.hash) return;
      if (root.figure) {
        location.reload();
        return;
      }
      root.scrollIntoView();
      start().then(() => root.scrollIntoView()); // what came in place of the picture moves it
    };
    addEventListener("hashchange", follow);
    follow();
  }
}
