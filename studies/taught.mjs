// Fits and measures with the page's own head: a case a line in, its answers a line out.
import { createInterface } from "node:readline";
import { ALARMS, distances, fit, interval, largest, leftOut, nearest, rarity } from "../src/sightline/export/web/teach/head.mjs";

const share = (values, test) => values.filter(test).length / values.length;
const typed = (rows) => rows.map((row) => Float64Array.from(row));
const sure = (probabilities) => Math.max(...probabilities);

function measure({ rows, labels, test, testLabels, alike, foreign }) {
  const count = Math.max(...labels) + 1;
  const taught = { rows: typed(rows), labels, series: labels.map((_, i) => i), count };
  const head = fit(taught.rows, labels, count);
  const left = [...leftOut(taught, head)].flat().map(({ probabilities }) => probabilities);
  const leftRight = share(left, (probabilities, i) => largest(probabilities) === labels[i]);
  const all = distances(taught);
  const doubts = left.map((probabilities) => 1 - sure(probabilities));
  const called = (row) => rarity(nearest(row, taught.rows), all) <= ALARMS;
  const doubted = (row) => rarity(1 - sure(head.probabilities(row)), doubts) <= ALARMS;
  const result = { leftRight, interval: interval(leftRight, rows.length) };
  result.right = share(typed(test), (row, i) => largest(head.probabilities(row)) === testLabels[i]);
  for (const [name, pictures] of Object.entries({ own: typed(test), alike: typed(alike), foreign: typed(foreign) })) {
    result[name] = { strange: share(pictures, called), doubtful: share(pictures, doubted), sure: pictures.reduce((sum, row) => sum + sure(head.probabilities(row)), 0) / pictures.length };
  }
  return result;
}

for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(measure(JSON.parse(line))));
