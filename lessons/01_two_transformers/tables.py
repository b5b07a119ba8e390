def summary(measured):
    return {}, {}
