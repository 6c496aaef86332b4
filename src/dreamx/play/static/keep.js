// What a page remembers of its walk, so that it goes on when the page is loaded again. Each tab has its own.

const NAME = "dreamx.walk";

export function recall() {
  try {
    return JSON.parse(sessionStorage.getItem(NAME)) ?? null;
  } catch {
    return null; // storage is off, or somebody else wrote there
  }
}

export function keep(walk) {
  for (const one of [walk, { ...walk, opening: null }]) { // a picture of one's own may be too large to keep
    try {
      return sessionStorage.setItem(NAME, JSON.stringify(one));
    } catch {
      continue;
    }
  }
}

export function forget() {
  try {
    sessionStorage.removeItem(NAME);
  } catch {
    return; // nothing was kept either
  }
}
