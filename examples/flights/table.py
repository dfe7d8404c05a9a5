"""Write the flights of 2013 as one Parquet file a month.

    python examples/flights/table.py --to flights

The table itself is made in `fairlead.demo.flights`, where the demo and the benchmark take it from, too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fairlead.demo.flights import flights


def main() -> None:
    """Write `flights-01.parquet` to `flights-12.parquet`."""
    parser = argparse.ArgumentParser(description="Write the flights of 2013 as one Parquet file a month.")
    parser.add_argument("--to", type=Path, default=Path("flights"), help="the folder to write to (default: flights)")
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    for month, table in flights().groupby("month"):
        path = folder / f"flights-{month:02}.parquet"
        table.to_parquet(path, index=False)
        print(f"{path}  {len(table):,} flights, {(table['late'] == 'late').mean():.1%} late")


if __name__ == "__main__":
    main()
