"""The file formats: npy, npz, TEXMEX's fvecs, bvecs and ivecs, csv, tsv and parquet."""

from __future__ import annotations

from collections.abc import Iterable

from nearkin.hooks import FormatSpec, hookimpl
from nearkin_plugins.file_formats.options import ColumnOptions, CsvOptions, DelimitedOptions, NpzOptions

_HERE = "nearkin_plugins.file_formats"


@hookimpl
def nearkin_formats() -> Iterable[FormatSpec]:
    """Every built-in format."""
    return [
        FormatSpec(
            name="npy",
            summary="NumPy array, memory-mapped",
            make="nearkin.npy_format:NpyFormat",
            suffixes=(".npy",),
        ),
        FormatSpec(
            name="npz",
            summary="NumPy archive: an array of vectors and, if there, one of ids",
            make=f"{_HERE}.numpy_archives:NpzFormat",
            params=NpzOptions,
            suffixes=(".npz",),
            examples=({}, {"compressed": True}),
        ),
        FormatSpec(
            name="fvecs",
            summary="TEXMEX vectors of float32",
            make=f"{_HERE}.texmex:FvecsFormat",
            suffixes=(".fvecs",),
        ),
        FormatSpec(
            name="bvecs",
            summary="TEXMEX vectors of bytes, or packed bits",
            make=f"{_HERE}.texmex:BvecsFormat",
            suffixes=(".bvecs",),
        ),
        FormatSpec(
            name="ivecs",
            summary="TEXMEX vectors of int32, as used for ground truth",
            make=f"{_HERE}.texmex:IvecsFormat",
            suffixes=(".ivecs",),
        ),
        FormatSpec(
            name="csv",
            summary="comma-separated text: columns of numbers, or one of lists; id and further columns kept",
            make=f"{_HERE}.delimited:CsvFormat",
            params=CsvOptions,
            suffixes=(".csv",),
            examples=({}, {"delimiter": "semicolon"}),
        ),
        FormatSpec(
            name="tsv",
            summary="tab-separated text, otherwise as csv",
            make=f"{_HERE}.delimited:TsvFormat",
            params=DelimitedOptions,
            suffixes=(".tsv",),
        ),
        FormatSpec(
            name="parquet",
            summary="Apache Parquet: a list column, or columns of numbers; id and further columns kept",
            make=f"{_HERE}.parquet:ParquetFormat",
            params=ColumnOptions,
            suffixes=(".parquet", ".pq"),
            needs=("pyarrow",),
            extra="files",
        ),
    ]
