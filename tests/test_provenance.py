"""Provenance: what a machine does not tell is "unknown", and stops nothing."""

import pytest

from minipeft import provenance


def test_it_says_commit_versions_and_hardware():
    told = provenance.provenance()
    assert set(told) == {"commit", "python", "torch", "hardware"} and all(told.values())


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() == "unknown"

    def no_program(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(provenance.subprocess, "run", no_program)
    assert provenance.provenance()["commit"] == "unknown"


def test_outside_a_repository_the_commit_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert provenance.commit() == "unknown"


CPU_FILES = {
    "intel": ("processor: 0\nmodel name\t: Some CPU @ 2: 5\nmodel name\t: Other\n", "Some CPU @ 2: 5"),
    "arm": ("processor\t: 0\nBogoMIPS\t: 50.00\nCPU part\t: 0xd0c\n", ""),
    "nameless": ("model name\t:\nmodel name without a colon\n", ""),
    "empty": ("", ""),
    "bytes": ("model name: \udcff\n", "\ufffd"),
}


@pytest.mark.parametrize("machine", CPU_FILES)
def test_a_processor_that_has_no_name_is_called_by_its_kind(machine, tmp_path, monkeypatch):
    content, name = CPU_FILES[machine]
    (tmp_path / "cpuinfo").write_bytes(content.encode("utf-8", "surrogateescape"))
    monkeypatch.setattr(provenance, "CPU_FILE", tmp_path / "cpuinfo")
    monkeypatch.setattr(provenance.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(provenance.platform, "processor", lambda: "")
    monkeypatch.setattr(provenance.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(provenance.os, "cpu_count", lambda: 6)
    assert provenance.hardware() == f"{name or 'aarch64'}, 6 cores"


def test_a_machine_that_tells_nothing_at_all_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "CPU_FILE", tmp_path / "none")
    monkeypatch.setattr(provenance.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(provenance.platform, "processor", lambda: "")
    monkeypatch.setattr(provenance.platform, "machine", lambda: "")
    monkeypatch.setattr(provenance.os, "cpu_count", lambda: None)
    assert provenance.hardware() == "unknown processor, unknown cores"
