def name_of(dataset):
    return None
