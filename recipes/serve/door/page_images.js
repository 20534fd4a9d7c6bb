// Added to the built-in page by the door: each image that is chosen, dropped or pasted goes through the door first.
// What comes back is a PNG of what the model will see, which every browser shows; the page knows nothing of this.
(() => {
    "use strict";
    const NAMES = /\.(avif|bmp|gif|heic|heif|jfif|jpe?g|png|tiff?|webp)$/i;
    const ACCEPTED = "image/*,.avif,.heic,.heif,.tif,.tiff";
    const SHOWN_MS = 12000;
    const BUSY = [401, 403, 404, 503]; // the page then sends the file as it is, and the door treats it there
    const passed = new WeakSet(); // events of ours

    const isImage = file => file.type !== "image/svg+xml" && (file.type.startsWith("image/") || NAMES.test(file.name));

    function key() {
        for (const name of Object.keys(localStorage).filter(name => name.endsWith(".config"))) {
            try {
                const found = JSON.parse(localStorage.getItem(name)).apiKey;
                if (found) return { Authorization: `Bearer ${found}` };
            } catch { /* another page's */ }
        }
        return {};
    }

    function say(text) {
        const box = document.createElement("div");
        box.setAttribute("role", "status");
        box.textContent = text;
        box.style.cssText = "position:fixed;top:1rem;left:50%;transform:translateX(-50%);z-index:99999;max-width:90vw;"
            + "padding:.6rem 1rem;border-radius:.5rem;background:#333;color:#fff;font:14px sans-serif;cursor:pointer";
        box.addEventListener("click", () => box.remove());
        setTimeout(() => box.remove(), SHOWN_MS);
        document.body.append(box);
    }

    async function prepared(file) {
        const headers = { "Content-Type": "application/octet-stream", ...key() };
        let answer;
        try {
            answer = await fetch("./door/image", { method: "POST", headers, body: file });
        } catch {
            return file; // the server is gone: the page says so itself
        }
        if (BUSY.includes(answer.status)) return file;
        if (!answer.ok) {
            const said = await answer.json().catch(() => ({}));
            say(`${file.name}: ${said.error?.message ?? `status ${answer.status}`}`);
            return null;
        }
        const notes = answer.headers.get("X-Image-Notes");
        if (notes) say(`${file.name}: ${notes}`);
        const name = file.name.replace(NAMES, "") || "image";
        return new File([await answer.blob()], `${name}.png`, { type: "image/png" });
    }

    async function transfer(files, text) {
        const done = new DataTransfer();
        for (const file of files) {
            const one = isImage(file) ? await prepared(file) : file;
            if (one) done.items.add(one);
        }
        if (text) done.setData("text/plain", text);
        return done;
    }

    // Take an event with images from the page, and give it one like it with PNGs.
    function take(event, files, text, again) {
        const kept = files ? [...files] : []; // they are gone once the event is over
        if (passed.has(event) || !kept.some(isImage)) return;
        const target = event.target;
        event.preventDefault();
        event.stopImmediatePropagation();
        transfer(kept, text).then(data => {
            if (!data.files.length && !text) {
                if (target.value) target.value = "";
                if (event.type !== "drop") return; // the page ends what it shows while something is dragged
            }
            const next = again(data, target);
            passed.add(next);
            target.dispatchEvent(next);
        });
    }

    const options = { bubbles: true, cancelable: true, composed: true };
    window.addEventListener("change", event => {
        if (event.target.type !== "file") return;
        take(event, event.target.files, "", (data, input) => {
            input.files = data.files;
            return new Event("change", options);
        });
    }, true);
    window.addEventListener("drop", event => {
        take(event, event.dataTransfer?.files, "", dataTransfer => new DragEvent("drop", { ...options, dataTransfer }));
    }, true);
    window.addEventListener("paste", event => {
        const pasted = event.clipboardData;
        const again = clipboardData => new ClipboardEvent("paste", { ...options, clipboardData });
        take(event, pasted?.files, pasted?.getData("text/plain") ?? "", again);
    }, true);

    // What may be chosen: the page's own list lacks what only the door reads.
    const widen = input => {
        if (input.type === "file" && /image/.test(input.accept)) input.accept += `,${ACCEPTED}`;
    };
    window.addEventListener("click", event => widen(event.target), true);
})();
