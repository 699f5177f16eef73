// Browsers refuse a Worker to a page that is read from a file. There the search runs in a hidden
// frame instead, which is given what a worker has.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(address) {
      const waiting = [];
      this.send = (data) => waiting.push(data);
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.title = "search";
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => {
        const copy = structuredClone(data);
        setTimeout(() => this.onmessage?.({ data: copy }));
      };
      const script = inside.document.createElement("script");
      script.onload = () => {
        this.send = (data) =>
          setTimeout(() => inside.dispatchEvent(new MessageEvent("message", { data })));
        waiting.splice(0).forEach((data) => this.send(data));
      };
      script.onerror = (event) => this.onerror?.(event);
      script.src = address;
      inside.document.body.append(script);
    }
    postMessage(data) {
      this.send(structuredClone(data)); // as for a worker: what is sent is changed by nobody else
    }
    terminate() {
      this.frame.remove();
    }
  };
}
