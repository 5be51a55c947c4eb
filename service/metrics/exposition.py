"""Exposition: families of figures as the text that Prometheus reads (format 0.0.4)."""

from collections.abc import Iterable

from service.records.figures import Family, Labels

MEDIA_TYPE = "text/plain; version=0.0.4"


def exposition(parts: Iterable[tuple[Labels, Iterable[Family]]]) -> str:
    """The families of several processes, each part's labels on all of its series; a name is told once."""
    lines: dict[str, list[str]] = {}
    for common, families in parts:
        for family in families:
            if family.name not in lines:
                about = f"# HELP {family.name} {_escaped(family.help)}"
                lines[family.name] = [about, f"# TYPE {family.name} {family.kind}"]
            for name, own, value in family.samples:
                lines[family.name].append(f"{name}{_labels({**common, **own})} {value:.17g}")
    return "".join(f"{line}\n" for told in lines.values() for line in told)


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
