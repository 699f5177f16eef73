// The networks of the page in a thread of their own: loads them, and answers what engine.js asks.

import * as ort from "./runtime/ort.wasm.bundle.min.mjs";
import * as attacks from "./attacks.mjs";

const STEPS = 100; // of FGSM's eps, of which one gradient serves all
const HALVINGS = 7; // of the eps of the other attacks
const TOLD = 50; // milliseconds between two words on how far it is
const BREATH = 25; // milliseconds after which new questions are listened to

const loaded = fetch("site.json").then(checked).then((answer) => answer.json()).then(load);
loaded.catch((error) => postMessage({ broken: String(error.message ?? error) }));

const latest = {}; // by method: the last question, whose answer replaces those to earlier ones
let breathed = 0;
let turn = Promise.resolve();

function checked(answer) {
  if (!answer.ok) throw new Error(`${answer.url} is missing (${answer.status})`);
  return answer;
}

/** The bytes of a file, with a word on each part that arrives. */
async function fetched(file, heard) {
  const answer = checked(await fetch(file));
  const parts = [];
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    heard(value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** The runtime, the networks and the samples; the page hears how much of them has arrived. */
async function load(about) {
  const whole = Object.values(about.files).reduce((sum, bytes) => sum + bytes, 0);
  let arrived = 0;
  const heard = (bytes) => postMessage({ arrived: (arrived += bytes), whole });
  const names = Object.keys(about.files);
  const contents = await Promise.all(names.map((name) => fetched(name, heard)));
  const file = Object.fromEntries(names.map((name, place) => [name, contents[place]]));
  ort.env.wasm.numThreads = 1; // more would need headers that a plain file server does not send
  ort.env.wasm.wasmBinary = file[about.runtime].buffer;
  const networks = [];
  for (const one of about.networks) networks.push(await network(one, file, about.page));
  return { about, networks, pixels: file[about.samples.images] };
}

/** One after the other: a session must not be asked while another answers. */
function inTurn(work) {
  turn = turn.then(work, work);
  return turn;
}

/** A network that attacks can ask about its logits and its gradient. */
async function network(one, file, { channels, size, classes }) {
  const open = (graph) =>
    ort.InferenceSession.create(file[graph], {
      executionProviders: ["wasm"],
      externalData: [{ path: one.weights.split("/").pop(), data: file[one.weights] }],
    });
  const [plain, both] = [await open(one.graph), await open(one.gradient)];
  const pixels = channels * size * size;
  const tensor = (images) =>
    new ort.Tensor("float32", images, [images.length / pixels, channels, size, size]);
  return {
    name: one.name,
    channels,
    size,
    pixels,
    classes: classes.length,
    async logits(images) {
      return (await inTurn(() => plain.run({ images: tensor(images) }))).logits.data;
    },
    async gradient(images, label) {
      const labels = new ort.Tensor("int32", Int32Array.of(label), [1]);
      const found = await inTurn(() => both.run({ images: tensor(images), labels }));
      return { logits: found.logits.data, gradient: found.gradient.data };
    },
  };
}

/** Listen whether something newer has been asked, in which case this need not be answered. */
async function breathe(question) {
  if (performance.now() - breathed > BREATH) {
    await new Promise((done) => setTimeout(done));
    breathed = performance.now();
  }
  if (question.id !== latest[question.method])
    throw Object.assign(new Error("something newer was asked"), { name: "AbortError" });
}

/** The attack of that name on one network, with chance that depends on nothing else. */
async function attacked(about, network, name, image, goal, eps, tell) {
  const { options } = about.attacks.find((one) => one.name === name);
  return attacks[name](network, image, goal, eps, attacks.draws(0), options, tell);
}

const answers = {
  async about() {
    return (await loaded).about.page;
  },

  async sample(_, place) {
    const { about, pixels } = await loaded;
    const { channels, size } = about.page;
    const each = channels * size * size;
    const bytes = pixels.subarray(place * each, (place + 1) * each);
    return { image: Float32Array.from(bytes, (byte) => byte / 255), label: about.samples.labels[place] };
  },

  async craft(question, { image, label, attack, eps, target, painted }) {
    const { about, networks } = await loaded;
    const found = [];
    label ??= await common(networks, image);
    let told = 0;
    for (const network of networks) {
      await breathe(question);
      const clean = await network.logits(image);
      const cleanRead = attacks.read(clean);
      const goal = { label: label ?? cleanRead, target: target ?? null };
      let made = { image, queries: null };
      if (painted) {
        made.image = attacks.within(image, image.map((pixel, k) => pixel + painted[k]), eps);
      } else if (attack && attacks.attackable(goal) && !attacks.wanted(goal, cleanRead)) {
        made = await attacked(about, network, attack, image, goal, eps, async (queries) => {
          await breathe(question);
          if (performance.now() - told < TOLD) return;
          told = performance.now();
          postMessage({ id: question.id, progress: { name: network.name, queries } });
        });
      }
      const logits = await network.logits(made.image);
      const read = attacks.read(logits);
      found.push({
        name: network.name,
        read,
        probabilities: attacks.probabilities(logits),
        clean_read: cleanRead,
        clean_probabilities: attacks.probabilities(clean),
        image: made.image,
        fooled: attacks.wanted(goal, read) && attacks.allowed(image, made.image, eps),
        queries: made.queries,
      });
    }
    return found;
  },

  async smallest(question, { image, label, attack, target }) {
    const { about, networks } = await loaded;
    const found = [];
    label ??= await common(networks, image);
    for (const network of networks) {
      await breathe(question);
      const clean = attacks.read(await network.logits(image));
      const goal = { label: label ?? clean, target: target ?? null };
      const fool = async (eps) => {
        const made = await attacked(about, network, attack, image, goal, eps, () => breathe(question));
        return attacks.wanted(goal, attacks.read(await network.logits(made.image)));
      };
      const most = about.page.eps_max;
      let eps = null;
      if (attack && attacks.wanted(goal, clean)) eps = 0;
      else if (attack && attacks.attackable(goal)) {
        if (attack === "fgsm") eps = await attacks.firstStep(network, image, goal, most, STEPS);
        else eps = await halved(fool, most);
      }
      found.push({ name: network.name, eps });
    }
    return found;
  },
};

/** What most networks read of an image that nobody named; null where none reads anything. */
async function common(networks, image) {
  const reads = [];
  for (const network of networks) reads.push(attacks.read(await network.logits(image)));
  const count = (read) => reads.filter((one) => one === read).length;
  const known = reads.filter((read) => read !== -1);
  return known.length ? known.reduce((best, read) => (count(read) > count(best) ? read : best)) : null;
}

/** An eps that fools while half as much of the interval does not. */
async function halved(fool, most) {
  if (!(await fool(most))) return null;
  let [stood, fell] = [0, most];
  for (let halving = 0; halving < HALVINGS; halving++) {
    const middle = (stood + fell) / 2;
    [stood, fell] = (await fool(middle)) ? [stood, middle] : [middle, fell];
  }
  return fell;
}

onmessage = async ({ data: question }) => {
  const { id, method, given } = question;
  latest[method] = id;
  if (method === "craft") latest.smallest = id; // a search gives way to a move of the slider
  try {
    postMessage({ id, answer: await answers[method](question, given) });
  } catch (error) {
    postMessage({ id, error: String(error.message ?? error), name: error.name ?? "Error" });
  }
};
