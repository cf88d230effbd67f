"""The others that prognobench is compared with, each as its users write it."""
