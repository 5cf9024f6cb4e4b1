"""`kedro edge ...`"""
import click
@click.group()
def commands(): pass
cli = commands
