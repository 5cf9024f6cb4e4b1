command_hooks=None
def report_errors_plainly(): pass
