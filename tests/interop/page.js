// Runs what the boxes of a page show: each box marked `console`, in the order of the page, in one shell. A line that begins with "$ " is
// a command, "> " continues it; what follows until the next command is lines that its output must have, in that order, up to what
// is another at each run (see `comparable`). "…" stands for lines that the page leaves out.
'use strict';

const assert = require('assert');
const childProcess = require('child_process');
const fs = require('fs');
const { waitFor, exited } = require('./harness');

const ANSWER_MS = 30_000;
const DONE = '@@@ done';

// [{ line, command, expected: [line] }], `line` being where the command stands in the page.
function readCommands(file) {
  const commands = [];
  let inside = false;
  fs.readFileSync(file, 'utf8').split('\n').forEach((text, index) => {
    if (text.startsWith('```')) inside = !inside && text === '```console';
    else if (inside && text.startsWith('$ ')) commands.push({ line: index + 1, command: text.slice(2), expected: [] });
    else if (inside && text.startsWith('> ')) commands.at(-1).command += `\n${text.slice(2)}`;
    else if (inside && text.trim() !== '…') commands.at(-1).expected.push(text);
  });
  return commands;
}

// What is the same at each run: no times, durations, ids, ports of clients, nor bytes in which there is one of them. grpcurl prints the
// names of the .proto or their camelCase forms, by version.
function comparable(line) {
  return line.trimEnd()
    .replace(/"(\w+)":/g, (all, name) => `"${name.replaceAll('_', '').toLowerCase()}":`)
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/\b[0-9a-f]{16}\b/g, 'ID')
    .replace(/\b127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')
    .replace(/"\d+(\.\d+)?s"/g, '"DURATION"')
    .replace(/"(record|value)": "[A-Za-z0-9+/=]*"/g, '"$1": "BYTES"')
    .replace(/"(callsstarted|callssucceeded|revision)": "\d+"/g, '"$1": NUMBER');
}

// The first of `expected` that is not in `output` behind those before it; null: all are there.
function missing(expected, output) {
  const lines = output.split('\n').map(comparable);
  let at = 0;
  for (const wanted of expected) {
    const found = lines.indexOf(comparable(wanted), at);
    if (found < 0) return wanted;
    at = found + 1;
  }
  return null;
}

// A bash that is told one command after the other, as somebody at a terminal would.
class Shell {
  constructor(environment) {
    this.process = childProcess.spawn('bash', ['--norc'], { stdio: ['pipe', 'pipe', 'inherit'], env: environment, detached: true });
    this.output = '';
    this.process.stdout.on('data', (data) => { this.output += data; });
  }

  // { code, output }
  async run(command) {
    this.output = '';
    this.process.stdin.write(`{ ${command}\n} </dev/null 2>&1\necho "\n${DONE} $?"\n`);
    const end = new RegExp(`\n${DONE} (\\d+)\n$`);
    await waitFor(`an end of: ${command}`, () => end.test(this.output) || exited(this.process), ANSWER_MS);
    assert(!exited(this.process), `the shell ended at: ${command}\n${this.output}`);
    return { code: Number(end.exec(this.output)[1]), output: this.output.replace(end, '') };
  }

  // With everything that it started.
  async stop() {
    try {
      process.kill(-this.process.pid, 'SIGTERM');
    } catch (error) {
      assert.strictEqual(error.code, 'ESRCH');
    }
    await waitFor('the shell ends', () => exited(this.process));
  }
}

// Whether a command only asks: it may be asked again until its answer is the one shown, as the services go on meanwhile.
function isQuestion(command) {
  return /^(\$S|grep|holdfast (health|link|queues|status|sessions)) /.test(command) && !/&$|\/(Delete|Update|Pull|Set)/.test(command);
}

// `substitutes`: [[what stands in the page, what it is here]], for folders and ports; the answers are turned back.
// Throws at the first command that fails or does not answer as shown, with what it said.
async function runPage(file, substitutes, environment) {
  const here = (text) => substitutes.reduce((all, [page, actual]) => all.replaceAll(page, actual), text);
  const there = (text) => substitutes.reduce((all, [page, actual]) => all.replaceAll(actual, page), text);
  const shell = new Shell(environment);
  const commands = readCommands(file);
  assert(commands.length > 0, `${file} has no commands`);
  try {
    for (const { line, command, expected } of commands) {
      let result;
      const asShown = async () => {
        result = await shell.run(here(command));
        return result.code === 0 && missing(expected, there(result.output)) === null;
      };
      if (isQuestion(command)) await waitFor(command, asShown, ANSWER_MS).catch(() => {});
      else await asShown();
      const said = `${file}:${line}: ${command}\nsaid, with exit code ${result.code}:\n${there(result.output)}`;
      assert.strictEqual(result.code, 0, said);
      assert.strictEqual(missing(expected, there(result.output)), null, `a line is missing. ${said}`);
    }
  } finally {
    await shell.stop();
  }
  return commands.length;
}

module.exports = { runPage };
