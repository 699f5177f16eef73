// What the page asks in place of a server: networks in a worker of this very page; see worker.mjs.
window.unfooledEngine = (() => {
  const waiting = new Map(); // the questions that are not answered yet, by their numbers
  let worker, last = 0, broken = "", arriving = () => {};

  function ask(method, given, onProgress) {
    return new Promise((resolve, reject) => {
      if (broken) return reject(new Error(broken));
      waiting.set(++last, { resolve, reject, onProgress });
      worker.postMessage({ id: last, method, given });
    });
  }

  function fail(words) {
    broken = words;
    for (const { reject } of waiting.values()) reject(new Error(words));
    waiting.clear();
  }

  function heard({ data }) {
    if ("arrived" in data) return arriving(data);
    if ("broken" in data) return fail(`The networks could not be loaded: ${data.broken}`);
    const one = waiting.get(data.id);
    if (!one) return;
    if ("progress" in data) return one.onProgress?.(data.progress);
    waiting.delete(data.id);
    if ("error" in data) one.reject(Object.assign(new Error(data.error), { name: data.name }));
    else one.resolve(data.answer);
  }

  if (location.protocol === "file:") {
    fail("A browser does not let a page that was opened as a file read its networks. Serve the "
      + "folder: “python -m http.server -d FOLDER”, then open http://localhost:8000");
  } else {
    worker = new Worker("worker.mjs", { type: "module" });
    worker.onmessage = heard;
    worker.onerror = (event) => fail(`The networks could not be loaded: ${event.message ?? "no worker"}`);
  }

  return {
    about(onProgress = () => {}) {
      arriving = ({ arrived, whole }) => {
        const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
        const line = arrived < whole
          ? `Loading the networks: ${megabytes(arrived)} of ${megabytes(whole)} MB …`
          : "Starting the networks …";
        onProgress({ share: arrived / whole, line });
      };
      return ask("about");
    },
    sample: (place) => ask("sample", place),
    craft: (given, onProgress) => ask("craft", given, onProgress),
    smallest: (given) => ask("smallest", given),
  };
})();
