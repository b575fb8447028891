// Search works on pages that are opened as files, too: browsers start no worker from a file, so its script runs in a frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      this.inside = new Promise((ready) => {
        const fill = () => {
          const inner = frame.contentWindow;
          inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
          const script = inner.document.createElement("script");
          script.src = url;
          script.addEventListener("load", () => ready(inner));
          inner.document.body.append(script);
        };
        frame.addEventListener("load", fill, { once: true });
      });
      document.body.append(frame);
    }

    postMessage(data) {
      this.inside.then((inner) => inner.dispatchEvent(new MessageEvent("message", { data })));
    }
  };
}
