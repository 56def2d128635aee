// The style of what runs in a page, fetched with it.

/**
 * Add a style sheet to the page; wait until it is there.
 * @param {URL} address
 */
export function dress(address) {
  const sheet = Object.assign(document.createElement("link"), { rel: "stylesheet", href: address.href });
  return new Promise((done, fail) => {
    const name = address.pathname.split("/").pop();
    sheet.addEventListener("load", done);
    sheet.addEventListener("error", () => fail(new Error(`${name} could not be fetched.`)));
    document.head.append(sheet);
  });
}
