"""Settings of the ready project; the defaults of Kedro but for the location of packaged configuration."""
