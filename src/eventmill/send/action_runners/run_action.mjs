// Runs the action in a file once: parameters as JSON on standard input, the outcome as a line of JSON on
// the file descriptor whose number is the second argument.
// Outcomes are told apart as the Node.js runtime of Apache OpenWhisk does. Needs no package.
import { readFileSync, writeSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [file, descriptor] = process.argv.slice(2);

function finish(kind, result) {
  let text;
  try {
    text = JSON.stringify({ kind, result });
  } catch (error) {
    text = JSON.stringify({ kind: "action developer error", result: { error: `The result is no JSON: ${error.message}` } });
  }
  const bytes = Buffer.from(`${text}\n`);
  for (let at = 0; at < bytes.length; ) at += writeSync(Number(descriptor), bytes, at);
  process.exit(0);
}

function wordOf(error) {
  return error instanceof Error ? `An error has occurred: ${error.message}` : error ?? {};
}

let main;
try {
  const loaded = await import(pathToFileURL(file).href);
  main = loaded.main ?? loaded.default?.main;
  if (typeof main !== "function") throw new Error("the file exports no function named main");
} catch (error) {
  console.error(error);
  finish("action developer error", { error: `Initialization has failed due to: ${error?.message ?? error}` });
}

process.on("uncaughtException", (error) => {
  console.error(error);
  finish("action developer error", { error: wordOf(error) });
});

try {
  const result = (await main(JSON.parse(readFileSync(0, "utf8")))) ?? {};
  if (typeof result !== "object") {
    finish("action developer error", { error: "The action did not return a dictionary or array." });
  }
  finish("error" in result ? "application error" : "success", result);
} catch (error) {
  console.error(error);
  finish("application error", { error: wordOf(error) });
}
