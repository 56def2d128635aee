/* How the search orders what it finds: first the words of the index and the glossary,
   then pages whose titles have the words, then the rest of the book, then names of the
   library. Sphinx puts this file into its language_data.js, which follows searchtools.js. */
var Scorer = {
  objNameMatch: 4, // a name of the library: below a title, above a word of the text
  objPartialMatch: 1,
  objPrio: { 0: 5, 1: 5, 2: 0 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,

  /** Weigh a result, and name the section or the term that it leads to. */
  score(result) {
    const [page, , anchor, description, score] = result;
    if (description) return score; // a name of the library
    const { docnames, titles, alltitles, indexentries } = Search._index;
    const file = docnames.indexOf(page);
    const here = (wanted) => ([, places]) =>
      places.some(([where, id]) => where === file && wanted(id ?? ""));
    result[1] = titles[file];
    if (anchor) {
      const names = [...Object.entries(alltitles), ...Object.entries(indexentries)];
      const [name] = names.find(here((id) => `#${id}` === anchor)) ?? [];
      if (name) result[1] += ` > ${name}`;
      return score;
    }
    const title = titles[file].replace(/<[^>]*>/g, "").toLowerCase();
    const listed = Object.entries(indexentries)
      .filter(here((id) => !id.includes("sightline.")))
      .map(([entry]) => entry);
    const words = splitQuery(Scorer.query.toLowerCase()).filter((word) => word.length > 2);
    const titled = words.filter((word) => title.includes(word)).length;
    const known = words.filter((word) => listed.some((entry) => entry.includes(word))).length;
    const library = page.includes("/api") ? 6 : 0;
    return score + 5 * (titled + known) - library;
  },

  query: new URLSearchParams(location.search).get("q") ?? "",
};

{
  // the first words of a page are its article's, not those of the buttons above it
  const wordsOf = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const article = page.querySelector(".bd-article") ?? page.body;
    article.setAttribute("role", "main"); // where Sphinx looks
    return wordsOf(article.outerHTML, anchor);
  };
}

// a page on a disk may not read others, to show their words below a result
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
