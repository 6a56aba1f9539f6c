"""The results as Markdown: what the README's table is copied from."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from ratios import Spread


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _spread(values: dict[str, float]) -> str:
    return str(Spread(**values))


def _kernels(results: dict) -> str:
    rows = []
    for row in results["rows"]:
        rates = {name: statistics.median(values) for name, values in row["rows_per_second"].items()}
        peers = [f"{rates[name]:,.0f}" if name in rates else "–" for name in ("onnxruntime", "torch")]
        rows.append(
            [
                row["case"],
                str(row["batch"]),
                str(row["threads"]),
                f"{rates['Sconce']:,.0f}",
                *peers,
                f"**{_spread(row['ratio'])}**",
                row["variants"][row["better"]],
                row["variants"]["Sconce"],
                f"{100 * row['of_peak']['Sconce']:.0f} % / {100 * row['of_peak'][row['better']]:.0f} %",
                f"{row['gflops_peak']:.0f}",
                f"{row['difference']:.1e}",
            ]
        )
    head = [
        "network",
        "batch",
        "threads",
        "Sconce rows/s",
        "ONNX Runtime",
        "PyTorch",
        "ratio to the better (quartiles)",
        "the better",
        "ours",
        "of the FMA peak, ours / the better",
        "peak GFLOP/s",
        "largest difference of logits",
    ]
    failed = "".join(f"\nNot measured:\n\n```text\n{reason}\n```\n" for reason in results["failed"])
    return "### Engines\n\n" + _table(head, rows) + "\n" + _sixteen_bits(results["sixteen_bits"]) + failed


def _sixteen_bits(rows: list[dict]) -> str:
    head = ["network, batch 32", "threads", "precision", "rows/s", "f32 rows/s", "ratio (quartiles)", "labels that agree"]
    return "### 16-bit weights against 32-bit ones, ours\n\n" + _table(
        head,
        (
            [
                row["case"],
                str(row["threads"]),
                row["precision"],
                f"{statistics.median(row['rates'][row['precision']]):,.0f}",
                f"{statistics.median(row['rates']['f32']):,.0f}",
                f"**{_spread(row['ratio'])}**",
                f"{100 * row['labels_agree']:.2f} %",
            ]
            for row in rows
        ),
    )


def _servers(tables: list[dict]) -> str:
    parts = []
    head = [
        "system",
        "setting",
        "connections",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "CPU s per 1,000",
        "Sconce is × (quartiles)",
    ]
    for table in tables:
        rows = (
            [
                row["system"],
                row["setting"],
                str(row["connections"]),
                f"{row['rate']['median']:,.0f}",
                f"{row['p50_ms']:.2f}",
                f"{row['p99_ms']:.1f}",
                f"{row['cpu_seconds_per_1000']:.3f}",
                f"**{_spread(row['ratio'])}**" if "ratio" in row and row["system"] != "Sconce" else "–",
            ]
            for row in table["rows"]
        )
        parts.append(f"### Servers, model `{table['model']}`\n\n" + _table(head, rows))
        failed = [entry for entry in table["tried"] if "failed" in entry]
        parts += [
            f"Not measured: {entry['system']}, {entry['setting']}:\n\n```text\n{entry['failed']}\n```\n"
            for entry in failed
        ]
    return "\n".join(parts)


def _alone(results: dict) -> str:
    rows = []
    for model in results["models"]:
        name, lone = model["model"], model["one_connection"]
        saturation = model["saturation"]
        bare = statistics.median(saturation["rows_per_second"]["bare engine"])
        rows.append([f"{name}: bare engine, rows/s", f"{bare:,.0f}"])
        for load, share in saturation["of_bare"].items():
            rate = statistics.median(saturation["rows_per_second"][load])
            rows.append([f"{name}: served, {load}, rows/s", f"{rate:,.0f}"])
            rows.append([f"{name}: of the bare engine", f"**{_spread(share)}**"])
            without = saturation["of_bare_without_generator"][load]
            rows.append([f"{name}: the same, generator's CPU time taken out", _spread(without)])
        rows += [
            [f"{name}: one connection, p50 / p99 ms", f"{lone['p50_ms']:.3f} / {lone['p99_ms']:.3f}"],
            [
                f"{name}: bare row, one thread / faster setting, ms",
                f"{lone['one_thread_ms']:.3f} / {lone['bare_ms']:.3f}",
            ],
            [f"{name}: tokenizing, µs", f"{1000 * lone['prepare_ms']:.0f}"],
            [
                f"{name}: p50 over bare row, without / with tokenizing, µs",
                f"**{lone['added_without_preparing_us']:.0f}** / {lone['added_us']:.0f}",
            ],
            [
                f"{name}: Server-Timing medians, ms",
                ", ".join(f"{part} {value:.3f}" for part, value in lone["server_timing_ms"].items()) or "none given",
            ],
        ]
        for load in model["poisson"]:
            behind = " (the generator fell behind)" if load["generator_fell_behind"] else ""
            rows_long = f"p99 = **{load['p99_over_bare_row']:.1f}** bare rows{behind}"
            rows.append(
                [
                    f"{name}: Poisson at {100 * load['share']:.0f} % of {load['capacity']:,.0f}/s, p50 / p99 ms",
                    f"{load['p50_ms']:.2f} / {load['p99_ms']:.2f}; {rows_long}",
                ]
            )
    mib = 2**20
    rows += [
        ["bundled models: cold start to first answer, ms", _spread(results["first_answer_ms"])],
        ["bundled models: resident memory when idle, MiB", f"{results['idle_resident_bytes'] / mib:.0f}"],
        [
            "binary / stripped, MiB",
            f"{results['binary_bytes'] / mib:.1f} / {results.get('stripped_bytes', float('nan')) / mib:.1f}",
        ],
    ]
    return "### Sconce alone\n\n" + _table(["what", "figure"], rows)


def markdown(results: dict) -> str:
    """Every part that was run."""
    machine = results["machine"]
    head = f"{machine['processor']}, cores {machine['cores']}; {', '.join(machine['versions'])}; {machine['date']}\n"
    writers = {"kernels": _kernels, "servers": _servers, "sconce": _alone}
    return "\n".join([head, *(write(results[part]) for part, write in writers.items() if part in results)])
