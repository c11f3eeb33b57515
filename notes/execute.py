"""execute.py NAME...: run notebooks in place, then dump what they show to outputs/dump/NAME."""
import os, sys, time, tempfile, json, base64, re
from pathlib import Path
ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("OMP_NUM_THREADS", "1")
import nbformat
from nbclient import NotebookClient
def dump(path):
    import numpy as np, cv2
    out = (ROOT / "outputs" / "dump") / path.stem
    import shutil; shutil.rmtree(out, ignore_errors=True); out.mkdir(parents=True)
    nb = nbformat.read(path, 4)
    text = []
    for c in nb.cells:
        text.append(f"\n##### {c.cell_type} {c.id}\n{c.source}")
        if c.cell_type != "code": continue
        for i, o in enumerate(c.outputs):
            if o.output_type == "stream": text.append(f"--- {o.name}:\n{o.text}"); continue
            if o.output_type == "error": text.append("--- ERROR " + o.ename + ": " + o.evalue); continue
            data = o.data
            if "image/png" in data:
                p = out / f"{c.id}_{i}.png"; p.write_bytes(base64.b64decode(data["image/png"])); text.append(f"--- picture {p}")
            elif "text/html" in data:
                html = data["text/html"]
                for k, m in enumerate(re.finditer(r"data:(image|video)/([\w.+-]+);base64,([A-Za-z0-9+/=\s]+)", html)):
                    kind, ext = m[1], m[2]
                    p = out / f"{c.id}_{i}_{k}.{ext}"; p.write_bytes(base64.b64decode(m[3]))
                    if kind == "video":
                        cap = cv2.VideoCapture(str(p)); frames = []
                        while True:
                            ok, f = cap.read()
                            if not ok: break
                            frames.append(f)
                        if frames:
                            pick = frames[:: max(1, len(frames)//8)][:8]
                            q = p.with_suffix(".png"); cv2.imwrite(str(q), np.concatenate(pick, 1)); p = q
                    text.append(f"--- {kind} in a page, as {p}")
                text.append("--- html: " + re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<style.*?</style>|<script.*?</script>|data:[\w/.+-]+;base64,[A-Za-z0-9+/=\s]+", "", html, flags=re.S)))[:3000])
            elif "text/markdown" in data: text.append("--- markdown: " + data["text/markdown"])
            elif "text/plain" in data: text.append("--- " + data["text/plain"])
    (out / "page.txt").write_text("\n".join(text))
if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = next((ROOT / "notebooks").glob(f"{name}*.ipynb"))
        if os.environ.get("DUMP"): dump(path); continue
        nb = nbformat.read(path, 4)
        t = time.time()
        os.environ["T2V_OUTPUTS"] = tempfile.mkdtemp()
        client = NotebookClient(nb, timeout=1800, kernel_name="python3", record_timing=False, resources={"metadata": {"path": str(path.parent)}}, allow_errors=False)
        error = None
        try: client.execute()
        except Exception as e: error = str(e)[-1500:]
        for c in nb.cells: c.metadata.pop("execution", None)
        nb.metadata.pop("widgets", None)
        # markdown may have been edited meanwhile: take the cells' sources from the file where ids agree
        now = nbformat.read(path, 4)
        by = {c.id: c for c in nb.cells}
        for c in now.cells:
            if c.cell_type == "code" and c.id in by:
                c.outputs, c.execution_count = by[c.id].outputs, by[c.id].execution_count
                c.metadata.pop("execution", None)
        now.metadata.pop("widgets", None)
        nbformat.write(now, path)
        dump(path)
        print(name, "%.0f s" % (time.time() - t), "ERROR " + error if error else "ok", path.stat().st_size, flush=True)
