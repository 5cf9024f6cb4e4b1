"""Run the training of a model at the times of schedule.yml: cron, systemd, Airflow."""
