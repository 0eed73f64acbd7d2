"""Data frames."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any, BinaryIO

from cottoncandy import dataframes, keys
from cottoncandy.backends.base import Receipt
from cottoncandy.extras import with_extra
from cottoncandy.interfaces.basic.objects import Objects


class Tables(Objects):
    """Data frames, as parquet files that other programs read."""

    def upload_dataframe(
        self,
        object_name: str,
        frame: Any,
        acl: str | None = None,
        threads: int | None = None,
        **metadata: Any,
    ) -> Receipt:
        """Upload a data frame as a parquet file (zstd), with its index, dtypes, categories and ``attrs``.

        Needs ``pip install 'cottoncandy[dataframe]'``. The file is made in memory first.

        Parameters
        ----------
        object_name : str
        frame : pandas.DataFrame
            Or what arrow takes: a frame of polars, a `pyarrow.Table`, a dictionary of columns.
        acl : str, optional
            A canned ACL.
        threads : int, optional
            Connections; the configured ``threads`` by default.
        **metadata
            User metadata.

        Returns
        -------
        dict
            The boto3 response, or one in its shape.

        Raises
        ------
        UnsupportedArray
            For what is no data frame; for columns of mixed Python objects, of numbers that are too large, and of
            dictionaries with differing keys; for names of columns and of indices, and for dtypes, that would come back
            as others (columns that are a `pandas.CategoricalIndex`, as `pivot` may make them, or numbers and text
            mixed); and for ``attrs`` that JSON cannot hold.

        See Also
        --------
        download_dataframe

        Examples
        --------
        >>> import pandas as pd
        >>> trials = pd.DataFrame({'onset': [0.5, 2.5], 'word': ['moth', 'ünder']}, index=['t1', 't2'])
        >>> response = cci.upload_dataframe('sub01/trials.parquet', trials)
        >>> cci.download_dataframe('sub01/trials.parquet').equals(trials)
        True
        >>> cci.download_dataframe('sub01/trials.parquet', columns=['onset'])
            onset
        t1    0.5
        t2    2.5
        """
        where = self.backend_interface.describe(keys.clean_object(object_name))
        return self._upload(object_name, dataframes.write(frame, where), metadata, acl, threads)

    def download_dataframe(
        self,
        object_name: str,
        columns: Iterable[str] | None = None,
        threads: int | None = None,
        as_arrow: bool = False,
    ) -> Any:
        """Download a parquet file, whoever wrote it, as a data frame.

        Parameters
        ----------
        object_name : str
        columns : list of str, optional
            Only these, and the index; what lies between them is not read.
        threads : int, optional
            Connections; the configured ``threads`` by default.
        as_arrow : bool
            Give a `pyarrow.Table` instead, from which polars and others take theirs (``polars.from_arrow``).

        Returns
        -------
        pandas.DataFrame or pyarrow.Table

        Raises
        ------
        ObjectNotFound
        CorruptObject
            If the object is no parquet file.
        KeyError
            For a column that is not there.
        """
        if not as_arrow:
            with_extra("pandas", dataframes.EXTRA)
        key = keys.clean_object(object_name)
        where = self.backend_interface.describe(key)
        with self._table_file(key, columns is None, threads) as file:
            table = dataframes.read(file, columns, where)
        return table if as_arrow else dataframes.to_pandas(table)

    def _table_file(self, key: str, whole: bool, threads: int | None) -> BinaryIO:
        """The file to read from: where all of it is wanted, in memory, which it reaches in parallel."""
        return io.BytesIO(self.download_object(key, threads)) if whole else self.download_stream(key, threads)
