// One step back in the browser leads to the page before.
//
// Streamlit makes a new entry of the browser's history whenever a page writes its address, also when that only says more
// of the same page: from /train?run=1 to /train?approach=als&run=1. Back would then lead to the page that one is on. Such
// an address takes the place of the one before. The lessons of the Learn page keep an entry each.

export default function () {
  if (history.ofPages) return;
  history.ofPages = true;
  const push = history.pushState.bind(history);
  const lesson = (url) => new URLSearchParams(url.search).get("lesson");
  history.pushState = (state, unused, to) => {
    const next = new URL(to ?? location.href, location.href);
    const same = next.pathname === location.pathname && [null, lesson(next)].includes(lesson(location));
    if (same) history.replaceState(state, unused, to);
    else push(state, unused, to);
  };
}
