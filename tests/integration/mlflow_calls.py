"""What MLflow's scoring client says of a service; run by a Python that has MLflow: `mlflow_calls.py PORT FILE`.

FILE holds the rows as a table (`columns`, `data`, NaN for what is missing). On stdout comes one JSON object: by call, what it gave.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

PROBABILITIES = {"predict_method": "predict_proba"}


def refused(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:  # noqa: BLE001 - this is the type that the client raises
        return str(error)
    raise AssertionError("it was answered")


def main(port, told):
    frame = pd.DataFrame(told["data"], columns=told["columns"])
    client = ScoringServerClient("127.0.0.1", port)
    client.wait_server_ready(timeout=30)
    client.ping()
    table = frame.astype(object).to_numpy()
    # Its own way to send a dictionary fails before it asks; a text is sent as it is.
    columns = json.dumps({"inputs": frame.to_dict("list")})
    records = json.dumps({"dataframe_records": frame.iloc[:2].to_dict("records")})
    found = {
        "version": client.get_version(),
        "frame": client.invoke(frame).get_predictions("ndarray").ravel().tolist(),
        "frame back": client.invoke(frame).get_predictions("dataframe").to_numpy().ravel().tolist(),
        "array": client.invoke(table).get_predictions("ndarray").ravel().tolist(),
        "list": client.invoke(table.tolist()).get_predictions("ndarray").ravel().tolist(),
        "text of columns": client.invoke(columns).get_predictions("ndarray").tolist(),
        "records": json.loads(client.invoke(records).to_json()),
        "probabilities": client.invoke(frame, params=PROBABILITIES).get_predictions("ndarray").tolist(),
        "refusal": refused(client.invoke, frame.assign(age="old")),
        "unknown params": refused(client.invoke, frame, {"temperature": 1}),
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
