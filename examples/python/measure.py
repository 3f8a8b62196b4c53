"""Measures a broadcaster written in Python beside Sluice.

Both hand the messages of one source to the same clients. Each runs alone, with
core 0 to itself, the source and the clients on core 1. Run it from the top of
the repository: measure.py [ROUNDS]
"""
import json
import statistics
import subprocess
import sys
import tempfile
import time

SOURCE, PROXY = "127.0.0.1:9000", "127.0.0.1:8080"
LOADS = [("100", []), ("500", []), ("100", ["--compress"])]
FIGURES = {"cpu_us_each": "CPU us each", "p50_us": "p50 us", "p99_us": "p99 us"}

folder = tempfile.TemporaryDirectory()
sluice = folder.name + "/sluice"
shown = set()


def servers(compress):
    return {
        "Python": [sys.executable, "bench/peers/broadcast.py", PROXY, f"ws://{SOURCE}", *compress],
        "Sluice": [sluice, "fanout", f"ws://{SOURCE}", "--listen", PROXY, "--admin", "off", "--log-sessions", "none"],
    }


def command(core, *words):
    line = ["taskset", "-c", core, *words]
    text = " ".join(line).replace(sluice, "sluice").replace(sys.executable, "python")
    if text not in shown:
        print("   ", text, flush=True)
    shown.add(text)
    return line


def start(core, *words):
    process = subprocess.Popen(command(core, *words), stderr=subprocess.DEVNULL)
    time.sleep(1)
    return process


def measure(server, clients, compress):
    source = start("1", sluice, "bench", "source", "--listen", SOURCE, "--rate", "100", "--size", "200", "--json")
    process = start("0", *server)
    load = [sluice, "bench", "fanout", "--url", f"ws://{PROXY}", "-c", clients, "-d", "10s", *compress]
    line = command("1", *load, "--pid", "PID")
    try:
        out = subprocess.run([*line[:-1], str(process.pid), "--json"], stdout=subprocess.PIPE)
    finally:
        for each in process, source:
            each.terminate()
            each.wait()
    result = json.loads(out.stdout)
    if out.returncode:
        print("    failed:", result)
    return [result.get("cpu_us_each", 0)] + [result["latency"][key] for key in ("p50_us", "p99_us")]


def main(rounds):
    subprocess.run(["go", "build", "-o", sluice, "./cmd/sluice"], check=True)
    for clients, compress in LOADS:
        print(clients, "clients", *compress)
        results = {"Python": [], "Sluice": []}
        for _ in range(rounds):
            for name, server in servers(compress).items():
                results[name].append(measure(server, clients, compress))
        for name, rows in results.items():
            print(f"  {name:8}", *(f"{title} {statistics.median(column):.1f} " for title, column in zip(FIGURES.values(), zip(*rows))))
        pairs = zip(results["Sluice"], results["Python"])
        ratios = [[ours / theirs for ours, theirs in zip(*pair)] for pair in pairs]
        print("  ratio   ", *(f"{title} {statistics.median(c):.2f} ({min(c):.2f}-{max(c):.2f}) " for title, c in zip(FIGURES.values(), zip(*ratios))))


main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
